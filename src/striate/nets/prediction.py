"""A net made ready to predict: the same function of an image in fewer and faster steps.

    conv3-64 bn relu      conv3-64 relu      (conv3-64 bn relu conv3-64 bn + skip) relu

With fixed statistics a batch norm is a scale and a shift of each channel, which go into the weights
and the bias of the convolution before it; an activation after it is done where the values are made.
For few images the weights lie as the processor's products take them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nets.build import NetModule
from striate.nets.fusing import FusedChain, Fusion, Normalization
from striate.nets.layers import Parallel
from striate.nets.trunk import Trunk

FEW_IMAGES = 16  # for which the weights are laid out: for more that is lost in the products
# What PyTorch's binding of oneDNN calls the activations that it can do with a convolution.
POST_OPERATIONS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.GELU: ("gelu", "none"),
    nn.Sigmoid: ("sigmoid", ""),
    nn.Tanh: ("tanh", ""),
}
State = tuple[tuple[int, int, int], ...]


class Predictor:
    """A net's function in evaluation mode, kept ready for as long as its weights stay.

    Weights that are changed through `.data` of a parameter, which PyTorch does not count, are not
    noticed, nor are layers that are exchanged.

    Args:
        module: The net. It stays as it is.
    """

    def __init__(self, module: NetModule) -> None:
        self._module = module
        self._parts = list(module.modules())  # looking for them takes longer than a small net
        self._ready: dict[str, tuple[State, nn.Module]] = {}

    def __call__(self, x: Tensor, precision: str) -> Tensor:
        """The logits of images (N, C, H, W), as by the module; to rounding.

        Args:
            x: In channels_last.
            precision: "fp32", or "bf16" for products in bf16 under autocast.
        """
        result: Tensor = self._get(precision)(x)
        return result

    def _get(self, precision: str) -> nn.Module:
        state = _state(self._parts)
        if state is None:
            return self._module
        kept = self._ready.get(precision)
        if kept is None or kept[0] != state:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            kept = self._ready[precision] = state, _Prepared(self._module, dtype).eval()
        return kept[1]


def _state(parts: list[nn.Module]) -> State | None:
    """What changes with the weights; None where the layers have to run one by one.

    That is where somebody listens to one of them, for weights of other types, and for those that
    were made in inference mode, whose changes are not counted.
    """
    found = []
    for part in parts:
        if part._forward_hooks or part._forward_pre_hooks:
            return None
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is None:
                continue
            usual = tensor.dtype == torch.float32 or not tensor.is_floating_point()
            if not usual or tensor.is_inference():
                return None
            found.append((id(tensor), tensor._version, tensor.data_ptr()))
    return tuple(found)


class _Prepared(nn.Module):
    """A net with its convolutions prepared; all else is the net's own."""

    def __init__(self, module: NetModule, dtype: torch.dtype) -> None:
        super().__init__()
        self.layers = _prepare_chain(module.layers, dtype)
        self._finish = module.finish

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float -> logits."""
        return self._finish(self.layers(x))


def _prepare_chain(chain: nn.Module, dtype: torch.dtype) -> FusedChain:
    assert isinstance(chain, FusedChain)
    if not chain.fused or any(isinstance(fusion, Trunk) for fusion in chain.fusions.values()):
        return chain
    names, layers = list(chain._modules), chain._modules
    prepared: dict[str, nn.Module] = {}
    place = 0
    while place < len(names):
        layer = layers[names[place]]
        assert layer is not None
        after = [layers[name] for name in names[place + 1 : place + 3]]
        taken = 1
        if type(layer) is nn.Conv2d:
            norm = after[0] if after and isinstance(after[0], nn.BatchNorm2d) else None
            after = after[norm is not None :]
            activation = after[0] if after and type(after[0]) in POST_OPERATIONS else None
            prepared[names[place]] = PreparedConvolution(layer, norm, activation, dtype)
            taken += (norm is not None) + (activation is not None)
        elif isinstance(layer, Parallel):
            branches = [_prepare_chain(branch, dtype) for branch in layer.branches]
            prepared[names[place]] = type(layer)(branches)
        else:
            prepared[names[place]] = layer
        place += taken
    return FusedChain(prepared, _left(chain, prepared))


def _left(chain: FusedChain, prepared: dict[str, nn.Module]) -> dict[str, Fusion]:
    """The fusions whose layers are all there still."""
    left = {}
    for name, fusion in chain.fusions.items():
        there = set(fusion.names) <= prepared.keys()
        if there and isinstance(fusion, Normalization) and fusion.branch is not None:
            join = prepared[fusion.names[0]]
            assert isinstance(join, Parallel)
            there = fusion.norm in join.branches[fusion.branch]._modules
        if there:
            left[name] = fusion
    return left


class _Weights(NamedTuple):
    shape: tuple[int, ...]
    weight: Tensor
    bias: Tensor | None


class PreparedConvolution(nn.Module):
    """A convolution with the norm and the activation after it.

    Args:
        convolution: Whose weights are taken; they are copied at the first call.
        norm: A batch norm with statistics, or None.
        activation: One of `POST_OPERATIONS`, or None.
        dtype: fp32 or bf16.
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        norm: nn.BatchNorm2d | None,
        activation: nn.Module | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.activation = activation
        self.dtype = dtype
        self._post_operation = ("none", "")
        if activation is not None:
            self._post_operation = POST_OPERATIONS[type(activation)]
        self._weights: _Weights | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H', W') of the type that was asked for."""
        x = x.to(self.dtype)
        options = self.convolution
        shape = tuple(x.shape) if len(x) <= FEW_IMAGES and _can_lay_out(x) else ()
        weights = self._weights  # another thread may put others in their place
        if weights is None or weights.shape != shape:
            weights = self._weights = self._lay_out(shape)
        if not shape:
            y = F.conv2d(
                x,
                weights.weight,
                weights.bias,
                options.stride,
                options.padding,
                options.dilation,
                options.groups,
            )
            if type(self.activation) is nn.ReLU:
                return y.relu_()
            return y if self.activation is None else self.activation(y)
        name, algorithm = self._post_operation
        activated: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            weights.weight,
            weights.bias,
            options.padding,
            options.stride,
            options.dilation,
            options.groups,
            name,
            [],
            algorithm,
        )
        return activated

    def _lay_out(self, shape: tuple[int, ...]) -> _Weights:
        """The weights for images of a shape; () for any, as PyTorch lays them out."""
        options = self.convolution
        weight, bias = options.weight.detach(), options.bias
        if self.norm is not None:
            mean, variance = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert variance is not None
            scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
            shift = self.norm.bias - mean * scale
            bias = shift if bias is None else shift + bias * scale
            weight = weight * scale[:, None, None, None]
        weight = weight.to(self.dtype, memory_format=torch.channels_last)
        if shape:
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight,
                options.padding,
                options.stride,
                options.dilation,
                options.groups,
                list(shape),
            )
        return _Weights(shape, weight, None if bias is None else bias.detach().to(self.dtype))


def _can_lay_out(x: Tensor) -> bool:
    """Whether this PyTorch and this processor can; the operator is one of the compiler's own."""
    return (
        x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and (x.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
