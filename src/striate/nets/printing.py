"""Layers back to their words: `Convolution` -> `conv3-64/2`."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from striate.nets.graph import (
    Activation,
    BatchNorm,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    LayerNorm,
    Pair,
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Whiten,
)


def default_padding(kernel: Pair) -> Pair:
    """(F-1)//2 a side, which keeps the size at stride 1 for odd F."""
    return (kernel[0] - 1) // 2, (kernel[1] - 1) // 2


@singledispatch
def print_layer(layer: object) -> str:
    """The canonical word of a layer; options that have their default are left out."""
    raise TypeError(f"not a layer: {layer!r}")


def _printer(kind: type) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    return print_layer.register(kind)


@_printer(Convolution)
def _(layer: Convolution) -> str:
    return ("conv" if layer.shared else "local") + _window_text(layer)


@_printer(TransposedConvolution)
def _(layer: TransposedConvolution) -> str:
    return "tconv" + _window_text(layer)


@_printer(Whiten)
def _(layer: Whiten) -> str:
    return "whiten" + _pair_text(layer.kernel)


@_printer(Pool)
def _(layer: Pool) -> str:
    parts = [f"{layer.kind}pool{_pair_text(layer.kernel)}"]
    if layer.stride != layer.kernel:
        parts.append("/" + _pair_text(layer.stride))
    if layer.padding != (0, 0):
        parts.append("p" + _pair_text(layer.padding))
    return "".join(parts) + ("c" if layer.ceil else "")


@_printer(GlobalAverage)
def _(_: GlobalAverage) -> str:
    return "gap"


@_printer(Full)
def _(layer: Full) -> str:
    return f"fc-{layer.units}" + ("" if layer.bias else "b0")


@_printer(Activation)
def _(layer: Activation) -> str:
    return layer.name


@_printer(BatchNorm)
def _(layer: BatchNorm) -> str:
    default = BatchNorm()
    return (
        "bn"
        + ("" if layer.scale else "w0")
        + ("" if layer.momentum == default.momentum else f"m{_real_text(layer.momentum)}")
        + ("" if layer.epsilon == default.epsilon else f"e{layer.epsilon!r}")
    )


@_printer(LayerNorm)
def _(_: LayerNorm) -> str:
    return "ln"


@_printer(ResponseNorm)
def _(_: ResponseNorm) -> str:
    return "lrn"


@_printer(Dropout)
def _(layer: Dropout) -> str:
    return "dropout" + _real_text(layer.rate)


@_printer(Upsample)
def _(layer: Upsample) -> str:
    return layer.kind + _pair_text(layer.factor)


@_printer(Unpool)
def _(layer: Unpool) -> str:
    return "unpool" + _pair_text(layer.factor)


@_printer(Reshape)
def _(layer: Reshape) -> str:
    return f"reshape{layer.height}x{layer.width}x{layer.channels}"


@_printer(Code)
def _(_: Code) -> str:
    return "code"


@_printer(Scale)
def _(layer: Scale) -> str:
    below = "" if layer.denominator == 1.0 else f"/{_real_text(layer.denominator)}"
    return f"scale{_real_text(layer.numerator)}{below}"


def _window_text(layer: Convolution | TransposedConvolution) -> str:
    parts = [f"{_pair_text(layer.kernel)}-{layer.channels}"]
    if layer.stride != (1, 1):
        parts.append("/" + _pair_text(layer.stride))
    if layer.padding != default_padding(layer.kernel):
        parts.append("p" + _pair_text(layer.padding))
    if layer.groups != 1:
        parts.append(f"g{layer.groups}")
    if layer.dilation != (1, 1):
        parts.append("d" + _pair_text(layer.dilation))
    if layer.bias is not None:
        parts.append(f"b{int(layer.bias)}")
    return "".join(parts) + ("c" if layer.ceil else "")


def _pair_text(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _real_text(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")
