"""The chain rule through each kind of layer, in words: x goes in, y comes out, f is the result."""

from __future__ import annotations

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
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Whiten,
)

_WINDOW = "over all windows df/dx += W df/dy, df/dW += x df/dy, df/db += df/dy"
_NORM = "df/dy less its mean and its part along y, over the deviation"
_SAME = "the same numbers"

_LAYERS: dict[type, str] = {
    Convolution: _WINDOW,
    TransposedConvolution: _WINDOW,
    Whiten: _WINDOW,
    Full: "df/dx = W^T df/dy, df/dW = df/dy x^T, df/db = df/dy",
    GlobalAverage: "all positions share df/dy equally",
    BatchNorm: _NORM,
    LayerNorm: _NORM,
    ResponseNorm: "df/dy / bracket^b, less the share of x in its neighbours' brackets",
    Dropout: "df/dx = df/dy / (1 - rate) where x was kept, else 0",
    Unpool: "df/dx is df/dy where x was put",
    Reshape: _SAME,
    Code: _SAME,
    Scale: "df/dx = df/dy times the constant",
}
_POOLS = {
    "max": "df/dy goes to where the maximum stood",
    "avg": "all of a window share df/dy equally",
    "l2": "df/dx = x / y df/dy, added up over the windows",
}
_UPSAMPLERS = {
    "nearest": "df/dx is the sum of df/dy over the block",
    "nails": "df/dx is df/dy at the top left of the block",
}
_ACTIVATIONS = {
    "relu": "df/dx = df/dy where x > 0, else 0",
    "leaky": "df/dx = df/dy where x > 0, else df/dy / 100",
    "sigmoid": "df/dx = y (1 - y) df/dy",
    "tanh": "df/dx = (1 - y^2) df/dy",
    "gelu": "df/dx = (P + x p) df/dy, P the normal share below x, p the density",
    "silu": "df/dx = (s + y (1 - s)) df/dy, s = sigmoid(x)",
    "identity": _SAME,
    "softmax": "df/dx = y (df/dy - sum of y df/dy)",
}
JOINS = {
    "add": "every branch gets df/dy",
    "concat": "every branch gets the channels that are its own",
}
"""Of branches that meet; where they begin, the gradients of all of them are added."""


def rule_of(layer: Any) -> str:
    """How the gradient goes through a layer of `striate.nets.graph`."""
    match layer:
        case Pool():
            return _POOLS[layer.kind]
        case Upsample():
            return _UPSAMPLERS[layer.kind]
        case Activation():
            return _ACTIVATIONS[layer.name]
        case _:
            return _LAYERS[type(layer)]
