"""What a layer costs: parameters, multiply-adds, and how far back in the image it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

from striate.nets.graph import (
    BatchNorm,
    Chain,
    Convolution,
    Full,
    GlobalAverage,
    Layer,
    LayerNorm,
    Pair,
    Parallel,
    Pool,
    Reshape,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)


def parameters(layer: Layer, before: Volume, after: Volume) -> int:
    """Numbers that training moves. A convolution has (Fh*Fw*C/groups + 1)*K."""
    channels = before.channels
    match layer:
        case Convolution():
            kernels = layer.channels if layer.shared else after.size
            return kernels * (_area(layer.kernel) * channels // layer.groups + bool(layer.bias))
        case TransposedConvolution():
            weights = channels * layer.channels * _area(layer.kernel) // layer.groups
            return weights + layer.channels * bool(layer.bias)
        case Full():
            return layer.units * (before.size + layer.bias)
        case BatchNorm() | LayerNorm():
            scaled = not isinstance(layer, BatchNorm) or layer.scale
            return channels * (1 + scaled)
    return after.channels if isinstance(layer, Whiten) else 0


def frozen(layer: Layer, before: Volume, after: Volume) -> int:
    """Weights that are set from the data and not trained: those of `whiten`."""
    if not isinstance(layer, Whiten):
        return 0
    return after.channels * _area(layer.kernel) * before.channels


def multiply_adds(layer: Layer, before: Volume, after: Volume) -> int:
    """Multiply-adds of one image forward; as is usual, only products with weights count."""
    match layer:
        case Convolution():
            return after.size * _area(layer.kernel) * before.channels // layer.groups
        case TransposedConvolution():
            return before.size * _area(layer.kernel) * layer.channels // layer.groups
        case Whiten():
            return after.size * _area(layer.kernel) * before.channels
        case Full():
            return layer.units * before.size
        case _:
            return 0


@dataclass(frozen=True)
class Field:
    """Receptive field of a value, in image rows and columns, and the step to its neighbour's field.

    Sizes are in theory: they count padding, so they may exceed the image.
    """

    size: tuple[float, float] = (1.0, 1.0)
    stride: tuple[float, float] = (1.0, 1.0)

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width, rounded up."""
        return math.ceil(self.size[0] - 1e-9), math.ceil(self.size[1] - 1e-9)


def widen(field: Field, layer: Layer, before: Volume) -> Field:
    """The field after a layer, from the field before it."""
    match layer:
        case Convolution() | Pool() | Whiten():
            field = _slide(field, *_window(layer))
        case GlobalAverage() | Full() | Reshape():
            whole = _slide(field, (before.height - 1, before.width - 1), (1, 1))
            field = Field(whole.size, (0.0, 0.0))
        case TransposedConvolution():
            field = _spread(_slide(field, _touched(layer), (1, 1)), layer.stride)
        case Upsample(factor=factor) | Unpool(factor=factor):
            field = _spread(field, factor)
    return field


def _window(layer: Convolution | Pool | Whiten) -> tuple[Pair, Pair]:
    """How far a layer's window reaches beyond its first position, and its stride."""
    dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
    reach = (dilation[0] * (layer.kernel[0] - 1), dilation[1] * (layer.kernel[1] - 1))
    return reach, (1, 1) if isinstance(layer, Whiten) else layer.stride


def depth(chain: Chain) -> int:
    """Convolutions and fully connected layers on the longest way through the graph."""
    total = 0
    for part in chain:
        if isinstance(part, Parallel):
            total += max(depth(branch) for branch in part.branches)
        else:
            total += isinstance(part.layer, Convolution | TransposedConvolution | Full)
    return total


def widest(fields: list[Field]) -> Field:
    """The field of branches joined."""
    return Field(
        (max(f.size[0] for f in fields), max(f.size[1] for f in fields)),
        (max(f.stride[0] for f in fields), max(f.stride[1] for f in fields)),
    )


def _slide(field: Field, spans: Pair, stride: Pair) -> Field:
    (height, width), (down, across) = field.size, field.stride
    return Field(
        (height + spans[0] * down, width + spans[1] * across),
        (down * stride[0], across * stride[1]),
    )


def _spread(field: Field, factor: Pair) -> Field:
    return Field(field.size, (field.stride[0] / factor[0], field.stride[1] / factor[1]))


def _touched(layer: TransposedConvolution) -> Pair:
    """Input positions beyond the first that one output of a transposed convolution sees."""
    rows, columns = (
        -(-(dilation * (kernel - 1) + 1) // stride) - 1
        for kernel, stride, dilation in zip(layer.kernel, layer.stride, layer.dilation, strict=True)
    )
    return rows, columns


def _area(kernel: Pair) -> int:
    return kernel[0] * kernel[1]
