"""What PyTorch allocates and keeps for one layer of a training step on the CPU, in bytes.

Images are in channels_last order, as `striate train` has them. What is not said in PyTorch's
documentation was read off the allocations that its profiler records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from striate.nets.costs import frozen, parameters
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    Layer,
    LayerNorm,
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.shapes import TracedChain, TracedStep
from striate.nets.windows import overhang

FLOAT_BYTES = 4
INDEX_BYTES = 8
FEW_VALUES = 20_480  # of one image: PyTorch's bound for what it leaves to a plain product

Order = Literal["first", "last", "as the values", "as the gradient"]  # of the channels in memory

_AS_GRADIENT = {"tanh", "sigmoid"}
_KEEP_OUTPUT = {"relu", "tanh", "sigmoid", "softmax"}


@dataclass(frozen=True)
class Footprint:
    """One layer's allocations for a batch, in bytes.

    Attributes:
        output: Of its output; 0 where that is its input itself.
        keeps_input: Whether its way back reads the input.
        keeps_output: Whether its way back reads the output.
        kept: What it keeps besides: positions of maxima, masks, unrolled windows.
        weights: Of its trained weights, and so of their gradient.
        forward: What it needs for a moment on the way forward, beside input and output.
        backward: The same on the way back, beside what is kept and both gradients.
        reordered: The same on the way back, if gradient and input lie in different orders.
        order: In which the output lies: its own, or as the values before it.
        order_back: In which the gradient of the input lies: its own, as that input's values, or as
            the gradient of the output.
    """

    output: int
    keeps_input: bool = False
    keeps_output: bool = False
    kept: int = 0
    weights: int = 0
    forward: int = 0
    backward: int = 0
    reordered: int = 0
    order: Order = "as the values"
    order_back: Order = "as the values"


def footprint(part: TracedStep, batch: int) -> Footprint:
    """What PyTorch allocates for a layer on `batch` images."""
    layer = part.step.layer
    before, after = (FLOAT_BYTES * batch * v.size for v in (part.input, part.output))
    match layer:
        case Convolution(shared=False):
            needs = _local(layer, part, batch)
        case Convolution() | TransposedConvolution() | Whiten():
            needs = _convolution(layer, part, batch)
        case Full():
            needs = _full(part, batch)
        case BatchNorm() | LayerNorm():
            needs = Footprint(after, True, weights=_weights(part), backward=after)
        case Pool():
            needs = _pool(layer, before, after)
        case Activation():
            needs = _activation(layer, after)
        case _:
            needs = _other(layer, after)
    return needs


def _activation(layer: Activation, after: int) -> Footprint:
    if layer.name == "identity":
        return Footprint(0)
    keeps_output = layer.name in _KEEP_OUTPUT
    back: Order = "as the gradient" if layer.name in _AS_GRADIENT else "as the values"
    return Footprint(after, not keeps_output, keeps_output, order_back=back)


def _other(layer: Layer, after: int) -> Footprint:
    """Layers without weights whose way back is short."""
    match layer:
        case Code():
            needs = Footprint(0)
        case Scale():
            needs = Footprint(after, order_back="as the gradient")
        case Dropout():  # its mask, as floats
            needs = Footprint(after, kept=after, order_back="as the gradient")
        case ResponseNorm():  # the padded squares, the base of the power, and the divisor
            needs = Footprint(after, True, kept=3 * after, backward=3 * after)
        case GlobalAverage():
            needs = Footprint(after, order_back="first")
        case Unpool():  # zeros, then a copy of them with the values in place
            needs = Footprint(after, forward=after, order="first", order_back="first")
        case Upsample(kind="nails"):
            needs = Footprint(after, order="first")
        case Reshape():
            needs = Footprint(after, order="first", order_back="first")
        case _:
            needs = Footprint(after)
    return needs


def _convolution(
    layer: Convolution | TransposedConvolution | Whiten, part: TracedStep, batch: int
) -> Footprint:
    """The library oneDNN takes the weights in an order of its own, and so gives their gradient.

    Each use copies them, and the gradient is copied twice on its way out. One image with few values
    is left to a product with its unrolled windows.
    """
    after = FLOAT_BYTES * batch * part.output.size
    copied = _weights(part) + FLOAT_BYTES * frozen(layer, part.input, part.output)
    forward, backward = copied, 2 * copied
    if isinstance(layer, Convolution) and _is_unrolled(layer, part.input, batch):
        forward = backward = 0 if layer.kernel == (1, 1) else _window_bytes(layer, part, batch)
    padded = _padded_bytes(layer, part.input, batch)
    return Footprint(
        after,
        keeps_input=padded == 0,
        kept=padded,
        weights=_weights(part),
        forward=forward,
        backward=backward,
        reordered=after,
        order="last",
        order_back="last",
    )


def _is_unrolled(layer: Convolution, before: Volume, batch: int) -> bool:
    """PyTorch's rule for convolutions that it does not give to oneDNN."""
    few = batch == 1 and before.size <= FEW_VALUES
    return few and layer.groups == 1 and min(layer.kernel) <= 3


def _padded_bytes(
    layer: Convolution | TransposedConvolution | Whiten, before: Volume, batch: int
) -> int:
    """Of the input with the zeros that the last window of a rounded-up convolution needs."""
    if not isinstance(layer, Convolution) or (extra := overhang(layer, before)) == (0, 0):
        return 0
    values = (before.height + extra[0]) * (before.width + extra[1]) * before.channels
    return FLOAT_BYTES * batch * values


def _local(layer: Convolution, part: TracedStep, batch: int) -> Footprint:
    """Unrolled windows, multiplied by a matrix of weights at each position."""
    after, windows = FLOAT_BYTES * batch * part.output.size, _window_bytes(layer, part, batch)
    weights = _weights(part)
    return Footprint(
        after,
        kept=windows,
        weights=weights,
        forward=after,
        backward=max(2 * windows, weights if batch > 1 else 0),
        order="first",
        order_back="first",
    )


def _window_bytes(layer: Convolution, part: TracedStep, batch: int) -> int:
    window = layer.kernel[0] * layer.kernel[1] * part.input.channels
    return FLOAT_BYTES * batch * window * part.output.height * part.output.width


def _full(part: TracedStep, batch: int) -> Footprint:
    """A volume in channels_last order is copied to be flattened, and the copy is kept."""
    after, before = (FLOAT_BYTES * batch * v.size for v in (part.output, part.input))
    if _is_row(part.input):
        return Footprint(after, keeps_input=True, weights=_weights(part))
    return Footprint(after, kept=before, weights=_weights(part), order_back="first")


def _is_row(volume: Volume) -> bool:
    """Whether the values of an image lie in memory as they do flattened."""
    return volume.flat or volume.channels == 1 or (volume.height, volume.width) == (1, 1)


def _pool(layer: Pool, before: int, after: int) -> Footprint:
    if layer.kind == "max":
        positions = after // FLOAT_BYTES * INDEX_BYTES
        return Footprint(after, True, kept=positions, reordered=positions + before)
    if layer.kind == "avg":
        return Footprint(after, True, reordered=before)
    # The squares and their sums are kept, and the roots for a moment.
    # Two gradients of the square are added on the way back, when all sums and roots are gone.
    backward = max(0, before - 3 * after)
    return Footprint(after, True, True, before + after, forward=after, backward=backward)


def lasting_bytes(chain: TracedChain, batch: int) -> int:
    """What outlasts a step: labels, weights, their momentum, running statistics."""
    return INDEX_BYTES * batch + sum(_lasting(part, batch) for part in _steps(chain))


def _lasting(part: TracedStep, batch: int) -> int:
    layer, before = part.step.layer, part.input
    lasting = 2 * _weights(part) + FLOAT_BYTES * frozen(layer, before, part.output)
    match layer:
        case BatchNorm():
            lasting += 2 * FLOAT_BYTES * before.channels + INDEX_BYTES
        case Unpool():  # the positions of the step before, which the paired pooling remembers
            lasting += INDEX_BYTES * batch * before.size
    return lasting


def _weights(part: TracedStep) -> int:
    return FLOAT_BYTES * parameters(part.step.layer, part.input, part.output)


def _steps(chain: TracedChain) -> Iterator[TracedStep]:
    for part in chain:
        if isinstance(part, TracedStep):
            yield part
        else:
            for branch in part.branches:
                yield from _steps(branch)
