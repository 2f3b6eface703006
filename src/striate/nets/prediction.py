"""A net made ready to predict: the same function of an image in fewer and faster steps.

    conv3-64 bn relu      conv3-64 relu      (conv3-64 bn relu conv3-64 bn + skip) relu

With fixed statistics a batch norm is a scale and a shift of each channel, which go into the weights
and the bias of the convolution before it; an activation after it is done where the values are made.
For few images the weights lie as the processor's products take them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.kernels import convolve
from striate.nets.build import NetModule
from striate.nets.fused import FusedChain, Fusion, Fusions, has_listeners
from striate.nets.fusing import (
    Normalization,
    can_filter,
    is_halving,
    is_plain,
    is_small_window,
)
from striate.nets.layers import Parallel, UnscaledBatchNorm2d
from striate.nets.trunk import Trunk

FEW_IMAGES = 16  # for which the weights are laid out: for more that is lost in the products
MOST_LAYOUTS = 2  # that are kept, of numbers of images
# What PyTorch's binding of oneDNN calls the activations that it can do with a convolution.
POST_OPERATIONS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.GELU: ("gelu", "none"),
    nn.Sigmoid: ("sigmoid", ""),
    nn.Tanh: ("tanh", ""),
}
NORMS = (nn.BatchNorm2d, UnscaledBatchNorm2d)


class Predictor:
    """A net's function in evaluation mode, kept ready for as long as its weights stay.

    Weights that are changed in ways that PyTorch does not count, through `.data` of a parameter or
    an array that shares its memory, are not noticed.

    Args:
        module: The net. It stays as it is.
    """

    def __init__(self, module: NetModule) -> None:
        self._module = module
        self._ready: dict[str, tuple[_State, nn.Module]] = {}

    def __call__(self, x: Tensor, precision: str) -> Tensor:
        """The logits of images, as by the module to rounding; without gradients.

        Args:
            x: fp32 (N, C, H, W) in channels_last, normalised.
            precision: "fp32", or "bf16" for products in bf16, to be called under autocast.

        Returns:
            (N, K), or what else the module gives; of its type.
        """
        result: Tensor = self._get(precision)(x)
        return result

    def _get(self, precision: str) -> nn.Module:
        """What to call: the module itself where its layers have to run one by one."""
        kept = self._ready.get(precision)
        if kept is not None and kept[0].holds():
            return kept[1]
        state = _State(self._module)
        if not state.usual():
            return self._module
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        prepared = _Prepared(self._module, dtype)
        self._ready[precision] = state, prepared
        return prepared


class _State:
    """The layers and weights of a module at one time; kept, so that no others take their place."""

    def __init__(self, module: nn.Module) -> None:
        self._parts = list(module.modules())
        self._tensors = [tensor for part in self._parts for tensor in _tensors(part)]
        self._seen = self._look()

    def holds(self) -> bool:
        """Whether all is as it was, and still nobody listens to a layer."""
        return self._look() == self._seen and not has_listeners(self._parts)

    def usual(self) -> bool:
        """Whether the layers need not run one by one.

        They have to where somebody listens to one of them, in training, for weights of other types,
        and for those that were made in inference mode, whose changes are not counted.
        """
        counted = not any(tensor.is_inference() for tensor in self._tensors)
        types = all(t.dtype == torch.float32 or not t.is_floating_point() for t in self._tensors)
        trains = any(part.training for part in self._parts)
        return counted and types and not trains and not has_listeners(self._parts)

    def _look(self) -> list[int]:
        seen: list[int] = []
        for part in self._parts:
            seen += [part.training, *map(id, part._modules.values())]
            for tensor in _tensors(part):
                version = -1 if tensor.is_inference() else tensor._version
                seen += [id(tensor), version, tensor.data_ptr()]
        return seen


def _tensors(part: nn.Module) -> list[Tensor]:
    own = (*part._parameters.values(), *part._buffers.values())
    return [tensor for tensor in own if tensor is not None]


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
    fusions = [fusion for several in chain.fusions.values() for fusion in several]
    if not chain.fused or any(isinstance(fusion, Trunk) for fusion in fusions):
        return chain
    names, layers = list(chain._modules), chain._modules
    prepared: dict[str, nn.Module] = {}
    place = 0
    while place < len(names):
        layer = layers[names[place]]
        assert layer is not None
        taken = 1
        if is_plain(layer):
            after = [layers[name] for name in names[place + 1 : place + 3]]
            norm = after[0] if after and _is_foldable(after[0]) else None
            after = after[norm is not None :]
            activation = after[0] if after and _is_post_operation(after[0]) else None
            prepared[names[place]] = PreparedConvolution(
                layer, norm=norm, activation=activation, dtype=dtype
            )
            taken += (norm is not None) + (activation is not None)
        elif isinstance(layer, Parallel):
            branches = [_prepare_chain(branch, dtype) for branch in layer.branches]
            prepared[names[place]] = type(layer)(branches)
        else:
            prepared[names[place]] = layer
        place += taken
    return FusedChain(prepared, _left(chain, prepared))


def _left(chain: FusedChain, prepared: dict[str, nn.Module]) -> Fusions:
    """The fusions whose layers are all there still, and of those that were prepared."""
    left = {
        name: [fusion for fusion in fusions if _is_left(fusion, prepared)]
        for name, fusions in chain.fusions.items()
        if name in prepared
    }
    for (name, layer), (after, pool) in pairwise(prepared.items()):
        if isinstance(layer, PreparedConvolution) and is_halving(pool):
            left[name] = [PooledConvolution((name, after))]
    return left


def _is_left(fusion: Fusion, prepared: dict[str, nn.Module]) -> bool:
    there = set(fusion.names) <= prepared.keys()
    if there and isinstance(fusion, Normalization) and fusion.branch is not None:
        join = prepared[fusion.names[0]]
        assert isinstance(join, Parallel)
        return fusion.norm in join.branches[fusion.branch]._modules
    return there


def _is_foldable(layer: nn.Module | None) -> TypeGuard[nn.BatchNorm2d]:
    return (
        isinstance(layer, nn.BatchNorm2d)
        and type(layer) in NORMS
        and all(
            tensor is not None
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var)
        )
        and "forward" not in vars(layer)
    )


def _is_post_operation(layer: nn.Module | None) -> bool:
    exact = getattr(layer, "approximate", "none") == "none"  # of GELU
    return type(layer) in POST_OPERATIONS and exact and "forward" not in vars(layer)


@dataclass(frozen=True)
class PooledConvolution:
    """A prepared convolution and the max pooling of 2x2 behind it, by minimal filtering.

    Attributes:
        names: Of the two.
    """

    names: tuple[str, ...]

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """Both."""
        return [*map(chain.get_submodule, self.names)]

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """In fp32, for more than a few images."""
        convolution, pool = self.layers(chain)
        assert isinstance(convolution, PreparedConvolution)
        return is_halving(pool) and convolution.rises and convolution.filters(x)

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """Through the operator."""
        y: Tensor = self.layers(chain)[0](x, pool=2)
        return y


class PreparedConvolution(nn.Module):
    """A convolution with the norm and the activation after it, whose weights it copies.

    Args:
        convolution: With zeros around the image.
        norm: A batch norm with statistics, or None.
        activation: One of `POST_OPERATIONS`, or None.
        dtype: fp32 or bf16.
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        *,
        norm: nn.BatchNorm2d | None,
        activation: nn.Module | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self._stride, self._padding = convolution.stride, convolution.padding
        self._dilation, self._groups = convolution.dilation, convolution.groups
        self._activation = activation
        weight, bias = _fold(convolution, norm)
        self._small_window = dtype == torch.float32 and is_small_window(convolution)
        self._weight = weight.to(dtype, memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.to(dtype)
        self._laid_out: dict[tuple[int, ...], Tensor] = {}

    @property
    def rises(self) -> bool:
        """Whether the largest result is that of the largest product: so it may be pooled first."""
        return self._activation is None or type(self._activation) is nn.ReLU

    def forward(self, x: Tensor, *, pool: int = 1) -> Tensor:
        """(N, C, H, W) -> (N, K, H', W') of the type that was asked for.

        Args:
            x: Images.
            pool: 2 for the largest of each 2x2, which `filters` and `rises` have to allow, or 1.
        """
        x = x.to(self._weight.dtype)
        if len(x) <= FEW_IMAGES and _can_lay_out(x):
            return self._run_laid_out(x)
        if self.filters(x):
            y = convolve(x, self._weight, self._bias, int(self._padding[0]), pool=pool)
        else:
            y = self._convolve(x)
        if type(self._activation) is nn.ReLU:
            return y.relu_()
        return y if self._activation is None else self._activation(y)

    def filters(self, x: Tensor) -> bool:
        """Whether these images go through minimal filtering."""
        laid_out = len(x) <= FEW_IMAGES and _can_lay_out(x)
        padding = int(self._padding[0])
        return self._small_window and not laid_out and can_filter(x, len(self._weight), padding)

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv2d(
            x, self._weight, self._bias, self._stride, self._padding, self._dilation, self._groups
        )

    def _run_laid_out(self, x: Tensor) -> Tensor:
        name, algorithm = "none", ""
        if self._activation is not None:
            name, algorithm = POST_OPERATIONS[type(self._activation)]
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            self._lay_out(tuple(x.shape)),
            self._bias,
            self._padding,
            self._stride,
            self._dilation,
            self._groups,
            name,
            [],
            algorithm,
        )
        return y

    def _lay_out(self, shape: tuple[int, ...]) -> Tensor:
        """The weights as the products for images of a shape take them."""
        kept = self._laid_out.get(shape)
        if kept is None:
            kept = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, self._padding, self._stride, self._dilation, self._groups, list(shape)
            )
            others = list(self._laid_out.items())[1 - MOST_LAYOUTS :]
            self._laid_out = {**dict(others), shape: kept}  # at once, for other threads
        return kept


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weights and bias of a convolution that does the norm's work too."""
    weight = convolution.weight.detach()
    bias = None if convolution.bias is None else convolution.bias.detach()
    if norm is None:
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach() * torch.rsqrt(variance + norm.eps)
    shift = norm.bias.detach() - mean * scale
    return weight * scale[:, None, None, None], shift if bias is None else shift + bias * scale


def _can_lay_out(x: Tensor) -> bool:
    """Whether this PyTorch and this processor can; the operator is one of the compiler's own."""
    return (
        x.device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and (x.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
