"""What a layer costs: parameters, multiply-adds, and how far back in the image it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

from striate.nets.graph import (
    BatchNorm,
    Convolution,
    Full,
    GlobalAverage,
    Layer,
    LayerNorm,
    Pair,
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
    match layer:
        case Convolution():
            kernels = layer.channels if layer.shared else after.size
            return kernels * (
                _area(layer.kernel) * before.channels // layer.groups + bool(layer.bias)
            )
        case TransposedConvolution():
            weights = before.channels * layer.channels * _area(layer.kernel) // layer.groups
            return weights + layer.channels * bool(layer.bias)
        case Whiten():
            return after.channels
        case Full():
            return layer.units * (before.size + layer.bias)
        case BatchNorm():
            return before.channels * (1 + layer.scale)
        case LayerNorm():
            return 2 * before.channels
        case _:
            return 0


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
        case Convolution(kernel=kernel, stride=stride, dilation=dilation):
            spans = (dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1))
            return _slide(field, spans, stride)
        case Pool(kernel=kernel, stride=stride):
            return _slide(field, (kernel[0] - 1, kernel[1] - 1), stride)
        case Whiten(kernel=kernel):
            return _slide(field, (kernel[0] - 1, kernel[1] - 1), (1, 1))
        case GlobalAverage() | Full() | Reshape():
            wide = _slide(field, (before.height - 1, before.width - 1), (1, 1))
            return Field(wide.size, (0.0, 0.0))
        case TransposedConvolution(kernel=kernel, stride=stride, dilation=dilation):
            reach = (
                _touched(kernel[0], stride[0], dilation[0]),
                _touched(kernel[1], stride[1], dilation[1]),
            )
            return _spread(_slide(field, reach, (1, 1)), stride)
        case Upsample(factor=factor) | Unpool(factor=factor):
            return _spread(field, factor)
        case _:
            return field


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


def _touched(kernel: int, stride: int, dilation: int) -> int:
    """Input positions beyond the first that one output of a transposed convolution sees."""
    return math.ceil((dilation * (kernel - 1) + 1) / stride) - 1


def _area(kernel: Pair) -> int:
    return kernel[0] * kernel[1]
