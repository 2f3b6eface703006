"""The layers with a window of weights, as a net holds them: see `operations`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.reference.arrays import Array, Sizes
from striate.reference.connected import locally_connected, locally_connected_backward
from striate.reference.convolution import (
    convolution,
    convolution_backward,
    dilate,
    dilate_backward,
)
from striate.reference.operations import Operation
from striate.reference.transposed import transposed_convolution, transposed_convolution_backward

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """How a window moves.

    Attributes:
        stride: How far.
        padding: Zeros on each side.
        groups: Channels and kernels fall into so many parts that do not see each other.
        dilation: The step within the window.
        extra: Rows and columns of zeros after the last, in the larger of the two volumes.
    """

    stride: Sizes = 1
    padding: Sizes = 0
    groups: int = 1
    dilation: Pair = (1, 1)
    extra: Pair = (0, 0)

    @property
    def settings(self) -> dict[str, Any]:
        """As the layers' functions take them; these know no dilation, kernels do."""
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}


def conv(window: Window) -> Operation:
    """A convolution, with weights (K, C/G, Fh, Fw) and maybe a bias (K,)."""

    def forward(images: Array, weights: Array, *bias: Array) -> Array:
        kernels = dilate(weights, window.dilation)
        return convolution(_extended(images, window.extra), kernels, *bias, **window.settings)

    def backward(slope: Array, images: Array, weights: Array, *bias: Array) -> tuple[Array, ...]:
        kernels, extended = dilate(weights, window.dilation), _extended(images, window.extra)
        found = convolution_backward(slope, extended, kernels, **window.settings)
        inputs = found.inputs[:, :, : images.shape[2], : images.shape[3]]
        return (inputs, dilate_backward(found.weights, window.dilation), found.bias)[
            : 2 + len(bias)
        ]

    return Operation(forward, backward)


def tconv(window: Window) -> Operation:
    """A transposed convolution, with weights (C, K/G, Fh, Fw) and maybe a bias (K,)."""

    def forward(images: Array, weights: Array, *bias: Array) -> Array:
        kernels = dilate(weights, window.dilation)
        return transposed_convolution(images, kernels, *bias, extra=window.extra, **window.settings)

    def backward(slope: Array, images: Array, weights: Array, *bias: Array) -> tuple[Array, ...]:
        kernels = dilate(weights, window.dilation)
        found = transposed_convolution_backward(slope, images, kernels, **window.settings)
        gradients = (found.inputs, dilate_backward(found.weights, window.dilation), found.bias)
        return gradients[: 2 + len(bias)]

    return Operation(forward, backward)


def local(window: Window) -> Operation:
    """Locally connected, with weights (K, C/G, Fh, Fw, Ho, Wo) and maybe a bias (K, Ho, Wo)."""

    def dilated(weights: Array) -> Array:
        return _kernel_inside(dilate(_kernel_last(weights), window.dilation))

    def forward(images: Array, weights: Array, *bias: Array) -> Array:
        extended = _extended(images, window.extra)
        return locally_connected(extended, dilated(weights), *bias, **window.settings)

    def backward(slope: Array, images: Array, weights: Array, *bias: Array) -> tuple[Array, ...]:
        extended = _extended(images, window.extra)
        found = locally_connected_backward(slope, extended, dilated(weights), **window.settings)
        inputs = found.inputs[:, :, : images.shape[2], : images.shape[3]]
        kernels = dilate_backward(_kernel_last(found.weights), window.dilation)
        return (inputs, _kernel_inside(kernels), found.bias)[: 2 + len(bias)]

    return Operation(forward, backward)


def _extended(images: Array, extra: Pair) -> Array:
    return np.pad(images, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])))


def _kernel_last(weights: Array) -> Array:
    """(K, C/G, Fh, Fw, Ho, Wo) -> (K, C/G, Ho, Wo, Fh, Fw)."""
    return weights.transpose(0, 1, 4, 5, 2, 3)


def _kernel_inside(weights: Array) -> Array:
    """(K, C/G, Ho, Wo, Fh, Fw) -> (K, C/G, Fh, Fw, Ho, Wo)."""
    return weights.transpose(0, 1, 4, 5, 2, 3)
