"""Where one operator can do the work of several layers: a pass over the traced graph.

    maxpool2 bn relu      bn gelu      maxpool2 bn      whiten2 gelu      (... bn + skip) relu
    conv3      conv3 maxpool2      conv3 relu maxpool2

The last of the first line is a residual join: the batch norm at the end of one branch, the
addition, and the activation after it. Layers keep their names, weights and places in the module; a
`FusedChain` only runs some of them together, and one by one where the operators do not apply: on
another device, in float64, for gradients of a net that is not in training, and where somebody
listens to a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.kernels import (
    ACTIVATIONS,
    can_convolve,
    can_fuse,
    convolve,
    normalize_batch,
    scale_and_activate,
    shift_and_activate,
)
from striate.nets.fused import FusedChain, Fusion, Fusions
from striate.nets.graph import Activation, BatchNorm, Convolution, Pool, Whiten
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep

# Of a volume, below which the layers one by one are sooner done: a call of an operator with its
# backward takes a fifth of a millisecond, without gradients a fiftieth.
FEWEST_VALUES, FEWEST_WITHOUT_GRADIENTS = 2**19, 2**16
FEWEST_CHANNELS = 24  # in and out of a convolution by minimal filtering ...
FEWEST_PIXELS = 256  # ... of all its images together ...
WEIGHTS_A_PIXEL = 512  # ... which are more where there are many weights to transform ...
LEAST_SIDE = 2  # ... and of what it makes
SMALL_WINDOW = (3, 3), (1, 1), (1, 1), 1  # kernel, stride, dilation, groups
SMALL_PADDINGS = (0, 0), (1, 1), (2, 2)


@dataclass(frozen=True)
class Normalization:
    """[Max pooling,] batch norm[, addition][, activation].

    Attributes:
        names: Of the layers, in order.
        norm: Name of the batch norm, in the chain or in `branch`.
        pool: 2 where a 2x2 max pooling comes first, else 1.
        activation: What comes last, or "identity".
        branch: Which branch of a residual join ends in the norm, or None.
    """

    names: tuple[str, ...]
    norm: str
    pool: int = 1
    activation: str = "identity"
    branch: int | None = None

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """Those in the chain, and the norm with the branch that it ends."""
        found = [*map(chain.get_submodule, self.names), self._norm(chain)]
        if self.branch is not None:
            found.append(chain.get_submodule(f"{self.names[0]}.branches.{self.branch}"))
        return found

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """In training; else only where nobody asks for gradients, which are left to PyTorch."""
        norm = self._norm(chain)
        first = chain.get_submodule(self.names[0])
        return (
            can_fuse(x)
            and _is_large(x)
            and (self.pool == 1 or is_halving(first))
            and norm.weight.dtype == torch.float32
            and (norm.training or not torch.is_grad_enabled())
        )

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """Through the branches, where it is a join, and the operator."""
        added = None
        if self.branch is not None:
            join = chain.get_submodule(self.names[0])
            branches: list[FusedChain] = list(join.get_submodule("branches"))  # type: ignore[call-overload]
            body = branches.pop(self.branch)
            added = branches[0](x)
            x = body.run(x, list(body._modules)[:-1])
        options: _Options = {"added": added, "pool": self.pool, "activation": self.activation}
        return _normalize(self._norm(chain), x, options)

    def _norm(self, chain: FusedChain) -> nn.BatchNorm2d:
        parent: nn.Module = chain
        if self.branch is not None:
            parent = chain.get_submodule(f"{self.names[0]}.branches.{self.branch}")
        norm = parent.get_submodule(self.norm)
        assert isinstance(norm, nn.BatchNorm2d)
        return norm


@dataclass(frozen=True)
class ShiftedWhitening:
    """A whitening layer, whose bias is the shift of the activation after it.

    Attributes:
        names: Of the two layers.
        activation: The second's.
    """

    names: tuple[str, ...]
    activation: str

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """Both."""
        return [*map(chain.get_submodule, self.names)]

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """In training; else only where nobody asks for gradients, which are left to PyTorch."""
        bias = chain.get_submodule(self.names[0]).get_parameter("bias")
        trains = chain.training or not torch.is_grad_enabled()
        return can_fuse(x) and _is_large(x) and trains and bias.dtype == torch.float32

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """The filters by PyTorch, the shift and the activation by the operator."""
        whiten = chain.get_submodule(self.names[0])
        x = F.conv2d(x, whiten.get_buffer("weight"))
        return shift_and_activate(x, whiten.get_parameter("bias"), activation=self.activation)


@dataclass(frozen=True)
class SmallWindow:
    """A convolution of 3x3 with stride 1 [[, rectifier], max pooling], by minimal filtering.

    The largest of some rectified values is the largest of them, rectified: so is its gradient.

    Attributes:
        names: Of the layers, in order.
        pool: 2 where a 2x2 max pooling comes last, else 1.
    """

    names: tuple[str, ...]
    pool: int = 1

    @property
    def rectifies(self) -> bool:
        """Whether a rectifier is between the two."""
        return len(self.names) > self.pool

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """All of them."""
        return [*map(chain.get_submodule, self.names)]

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """In training, and in fp32 without gradients: predictions in bf16 round less by PyTorch."""
        layer, *others = self.layers(chain)
        exact = not torch.is_autocast_enabled("cpu")
        return (
            (layer.training or (exact and not torch.is_grad_enabled()))
            and is_small_window(layer)
            and layer.weight.dtype == torch.float32
            and layer.weight.shape[1] == x.shape[1]
            and (self.pool == 1 or is_halving(others[-1]))
            and can_filter(x, layer.out_channels, int(layer.padding[0]))
        )

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """Through the operator."""
        layer = chain.get_submodule(self.names[0])
        assert isinstance(layer, nn.Conv2d)
        y = convolve(x, layer.weight, layer.bias, int(layer.padding[0]), pool=self.pool)
        return y.relu_() if self.rectifies else y


def find_fusions(chain: TracedChain) -> Fusions:
    """The fusions of a chain, not of its branches."""
    found = {}
    for place, part in enumerate(chain):
        parts = chain[place:]
        kinds = _pooled_window, _small_window, _normalization, _residual, _whitening
        if fusions := [fusion for kind in kinds if (fusion := kind(parts)) is not None]:
            found[_name(part)] = fusions
    return found


def _normalization(parts: TracedChain) -> Fusion | None:
    pool = 2 if _halves(parts[0]) else 1
    norm = parts[pool - 1] if pool <= len(parts) else None
    if norm is None or not _is_norm(norm):
        return None
    names = [_name(part) for part in parts[:pool]]
    activation = _activation(parts[pool:])
    if activation != "identity":
        names.append(_name(parts[pool]))
    return Normalization(tuple(names), _name(norm), pool, activation)


def _residual(parts: TracedChain) -> Fusion | None:
    join = parts[0]
    if not isinstance(join, TracedParallel) or join.parallel.join != "add":
        return None
    activation = _activation(parts[1:])
    if len(join.branches) != 2:
        return None
    for branch, chain in enumerate(join.branches):
        if chain and _is_norm(chain[-1]) and not (len(chain) > 1 and _halves(chain[-2])):
            names = [_name(part) for part in parts[: 1 if activation == "identity" else 2]]
            return Normalization(tuple(names), _name(chain[-1]), 1, activation, branch)
    return None


def _whitening(parts: TracedChain) -> Fusion | None:
    activation = _activation(parts[1:])
    whitens = isinstance(parts[0], TracedStep) and isinstance(parts[0].step.layer, Whiten)
    if not whitens or activation == "identity":
        return None
    return ShiftedWhitening((_name(parts[0]), _name(parts[1])), activation)


def _pooled_window(parts: TracedChain) -> Fusion | None:
    length = 3 if _activation(parts[1:]) == "relu" else 2
    if len(parts) < length or not _halves(parts[length - 1]) or _small_window(parts) is None:
        return None
    return SmallWindow(tuple(map(_name, parts[:length])), 2)


def _small_window(parts: TracedChain) -> Fusion | None:
    part = parts[0]
    layer = part.step.layer if isinstance(part, TracedStep) else None
    if not isinstance(part, TracedStep) or not isinstance(layer, Convolution):
        return None
    window = layer.kernel, layer.stride, layer.dilation, layer.groups
    small = window == SMALL_WINDOW and layer.padding in SMALL_PADDINGS and layer.shared
    if small and min(part.input.channels, part.output.channels) >= FEWEST_CHANNELS:
        return SmallWindow((part.step.name,))
    return None


def _halves(part: TracedStep | TracedParallel) -> bool:
    if not isinstance(part, TracedStep) or not isinstance(part.step.layer, Pool):
        return False
    pool = part.step.layer
    return (pool.kind, pool.kernel, pool.stride, pool.padding, pool.ceil) == (
        "max", (2, 2), (2, 2), (0, 0), False,
    )  # fmt: skip


def _is_norm(part: TracedStep | TracedParallel) -> bool:
    layer = part.step.layer if isinstance(part, TracedStep) else None
    return isinstance(layer, BatchNorm) and not part.input.flat


def _activation(parts: TracedChain) -> str:
    if parts and isinstance(parts[0], TracedStep):
        layer = parts[0].step.layer
        if isinstance(layer, Activation) and layer.name in ACTIVATIONS:
            return layer.name
    return "identity"


def _name(part: TracedStep | TracedParallel) -> str:
    return part.step.name if isinstance(part, TracedStep) else part.parallel.name


def _is_large(x: Tensor) -> bool:
    return x.numel() >= (FEWEST_VALUES if torch.is_grad_enabled() else FEWEST_WITHOUT_GRADIENTS)


class _Options(TypedDict):
    added: Tensor | None
    pool: int
    activation: str


def _normalize(norm: nn.BatchNorm2d, x: Tensor, options: _Options) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    assert norm.momentum is not None
    assert norm.num_batches_tracked is not None
    if not norm.training:
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return scale_and_activate(x, scale, norm.bias - mean * scale, **options)
    y, mean_here, variance_here = normalize_batch(
        x, norm.weight, norm.bias, epsilon=norm.eps, **options
    )
    count = y.numel() // y.shape[1]
    if count == 1:
        raise ValueError(f"one value a channel has no spread to normalise by: {tuple(x.shape)}")
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        mean.lerp_(mean_here, norm.momentum)
        variance.lerp_(variance_here * (count / (count - 1)), norm.momentum)
    return y


def is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is a convolution with zeros around the image, and nobody's own."""
    return (
        type(layer) is nn.Conv2d
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and "forward" not in vars(layer)
    )


def is_small_window(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether minimal filtering does the same as this layer, and sooner."""
    return (
        is_plain(layer)
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == SMALL_WINDOW
        and layer.padding in SMALL_PADDINGS
        and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
    )


def is_halving(layer: nn.Module) -> TypeGuard[nn.MaxPool2d]:
    """Whether it is a max pooling of 2x2, which does not have to remember, and nobody's own."""
    return (
        type(layer) is nn.MaxPool2d
        and (layer.kernel_size, layer.stride, layer.padding) == ((2, 2), (2, 2), (0, 0))
        and (layer.dilation, layer.return_indices, layer.ceil_mode) == (1, False, False)
    )


def can_filter(x: Tensor, kernels: int, padding: int) -> bool:
    """Whether this volume is large enough, and of a kind, for minimal filtering to pay."""
    return (
        can_convolve(x)
        and min(x.shape[2:]) + 2 * padding - 2 >= LEAST_SIDE
        and x.numel() >= fewest_pixels(x.shape[1], kernels) * x.shape[1]
    )


def fewest_pixels(channels: int, kernels: int) -> int:
    """Of all images together, for which minimal filtering pays."""
    return max(FEWEST_PIXELS, channels * kernels // WEIGHTS_A_PIXEL)
