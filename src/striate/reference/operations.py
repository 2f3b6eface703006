"""The layers as a net holds them, by their words in the net notation.

Each is a pair of functions with the layer's settings filled in. `forward` takes the inputs, then
the weights. `backward` takes the gradient of the output and the same again, and gives a gradient
for each of them. Layers with a window are in `windowed` and `pooled`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from striate.reference import activations, connected, normalization, response
from striate.reference.arrays import Array
from striate.reference.dropout import Mask, dropout_backward
from striate.reference.dropout import dropout as drop


class Operation(NamedTuple):
    """What a layer does.

    Attributes:
        forward: (*inputs, *weights) -> output.
        backward: (gradient of the output, *inputs, *weights) -> the gradients of each of them.
    """

    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, ...]]


def of_values(
    forward: Callable[..., Array], backward: Callable[..., Array], **settings: Any
) -> Operation:
    """A layer without weights, from its functions (x) and (gradient, x), with these settings."""
    return Operation(
        lambda x: forward(x, **settings), lambda slope, x: (backward(slope, x, **settings),)
    )


def activation(name: str) -> Operation:
    """`relu`, `tanh`, `sigmoid`, `gelu`, `silu`, `leaky`, `identity` or `softmax`."""
    if name == "softmax":
        return of_values(activations.softmax, activations.softmax_backward)
    function, derivative = activations.ACTIVATIONS[name]
    return Operation(function, lambda slope, x: (slope * derivative(x),))


def fc() -> Operation:
    """Fully connected, with weights (K, D) and maybe a bias (K,)."""

    def backward(slope: Array, x: Array, weights: Array, *bias: Array) -> tuple[Array, ...]:
        return connected.fully_connected_backward(slope, x, weights)[: 2 + len(bias)]

    return Operation(connected.fully_connected, backward)


def bn(*, running: normalization.Statistics | None = None, epsilon: float = 1e-5) -> Operation:
    """Batch normalisation, with weights scale (C,) and shift (C,).

    With the statistics of the batch, as while training; or, where they are given, with the running
    ones, as in a test.
    """
    if running is not None:
        return Operation(
            lambda x, scale, shift: normalization.batch_norm_testing(
                x, scale, shift, running, epsilon=epsilon
            ),
            lambda slope, x, scale, shift: normalization.batch_norm_testing_backward(
                slope, x, scale, running, epsilon=epsilon
            ),
        )

    def forward(x: Array, scale: Array, shift: Array) -> Array:
        start = normalization.Statistics(np.zeros_like(scale), np.ones_like(scale))
        return normalization.batch_norm_training(x, scale, shift, start, epsilon=epsilon)[0]

    def backward(slope: Array, x: Array, scale: Array, _: Array) -> tuple[Array, ...]:
        return normalization.batch_norm_training_backward(slope, x, scale, epsilon=epsilon)

    return Operation(forward, backward)


def unscaled(operation: Operation) -> Operation:
    """Batch normalisation without a scale: its one weight is the shift."""

    def backward(slope: Array, x: Array, shift: Array) -> tuple[Array, ...]:
        inputs, _, shifts = operation.backward(slope, x, np.ones_like(shift), shift)
        return inputs, shifts

    return Operation(lambda x, shift: operation.forward(x, np.ones_like(shift), shift), backward)


def ln() -> Operation:
    """Layer normalisation, with weights scale (C,) and shift (C,)."""
    return Operation(
        normalization.layer_norm,
        lambda slope, x, scale, _: normalization.layer_norm_backward(slope, x, scale),
    )


def lrn() -> Operation:
    """AlexNet's local response normalisation."""
    return of_values(response.response_norm, response.response_norm_backward)


def dropout(mask: Mask, *, rate: float) -> Operation:
    """What the mask keeps, scaled up."""
    return Operation(
        lambda x: drop(x, mask, rate=rate),
        lambda slope, x: (dropout_backward(slope, mask, rate=rate),),
    )


def scale(factor: float) -> Operation:
    """A constant times the values."""
    return Operation(lambda x: factor * x, lambda slope, x: (factor * slope,))


def reshape(shape: tuple[int, ...]) -> Operation:
    """The same values of each image in another shape: (N, ...) -> (N, *shape)."""
    return Operation(
        lambda x: x.reshape(len(x), *shape), lambda slope, x: (slope.reshape(x.shape),)
    )


def add() -> Operation:
    """The sum of several inputs; each gets the whole gradient."""
    return Operation(
        lambda *branches: sum(branches[1:], branches[0]),
        lambda slope, *branches: tuple(slope for _ in branches),
    )


def concat() -> Operation:
    """Several inputs, one after the other along the channels; each gets its own part back."""

    def backward(slope: Array, *branches: Array) -> tuple[Array, ...]:
        ends = np.cumsum([branch.shape[1] for branch in branches])
        return tuple(np.split(slope, ends[:-1], axis=1))

    return Operation(lambda *branches: np.concatenate(branches, axis=1), backward)
