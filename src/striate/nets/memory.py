"""The peak memory of a training step, predicted from what PyTorch keeps for the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from striate.nets.costs import parameters
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Full,
    Layer,
    LayerNorm,
    Pool,
    ResponseNorm,
    TransposedConvolution,
    Unpool,
)
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep

FLOAT_BYTES = 4
INDEX_BYTES = 8
WEIGHT_COPIES = 3  # the weight, its gradient and one momentum

_KEEP_OUTPUT = {"relu", "tanh", "sigmoid", "softmax"}
_KEEP_INPUT = (
    BatchNorm,
    Convolution,
    Full,
    LayerNorm,
    Pool,
    ResponseNorm,
    TransposedConvolution,
)


@dataclass(frozen=True)
class _Moment:
    """One layer's share: bytes it leaves behind for the way back, and in hand while it runs."""

    kept: int
    in_hand: int


def training_bytes(chain: TracedChain, batch: int) -> int:
    """Predicted peak of a training step in fp32 on `batch` images, with a momentum optimiser.

    Weights, gradients and momentum; what the layers before a layer have kept; and, at the layer
    where the sum is largest, its input and output or their gradients.
    """
    behind, peak = 0, 0
    for moment in _moments(chain, keeps_after=True):
        behind += moment.kept
        peak = max(peak, behind + moment.in_hand)
    return WEIGHT_COPIES * FLOAT_BYTES * _weights(chain) + batch * peak


def _weights(chain: TracedChain) -> int:
    total = 0
    for part in chain:
        if isinstance(part, TracedParallel):
            total += sum(map(_weights, part.branches))
        else:
            total += parameters(part.step.layer, part.input, part.output)
    return total


def _moments(chain: TracedChain, *, keeps_after: bool) -> Iterator[_Moment]:
    """Layer by layer; `keeps_after` says whether what follows the chain keeps its input."""
    for i, part in enumerate(chain):
        keeps = _keeps_input(chain[i + 1]) if i + 1 < len(chain) else keeps_after
        in_hand = FLOAT_BYTES * (part.input.size + part.output.size)
        output = FLOAT_BYTES * part.output.size
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from _moments(branch, keeps_after=False)
            yield _Moment(output if keeps else 0, in_hand)
        else:
            kept = output if keeps or _keeps_output(part.step.layer) else 0
            yield _Moment(kept + _extra(part), in_hand)


def _keeps_input(part: TracedStep | TracedParallel) -> bool:
    if isinstance(part, TracedParallel):
        return any(branch and _keeps_input(branch[0]) for branch in part.branches)
    layer = part.step.layer
    if isinstance(layer, Activation):
        return layer.name not in _KEEP_OUTPUT | {"identity"}
    return isinstance(layer, _KEEP_INPUT)


def _keeps_output(layer: Layer) -> bool:
    return isinstance(layer, Activation) and layer.name in _KEEP_OUTPUT


def _extra(part: TracedStep) -> int:
    """What a layer keeps beside its input and output."""
    layer, before, after = part.step.layer, part.input.size, part.output.size
    match layer:
        case Pool(kind="max"):
            extra = INDEX_BYTES * after
        case Pool(kind="l2"):
            extra = FLOAT_BYTES * (before + after)
        case Unpool():
            extra = INDEX_BYTES * before
        case Dropout():
            extra = FLOAT_BYTES * after
        case ResponseNorm():
            extra = 4 * FLOAT_BYTES * after
        case Convolution(shared=False):
            positions = part.output.height * part.output.width
            window = layer.kernel[0] * layer.kernel[1] * part.input.channels
            extra = FLOAT_BYTES * positions * window
        case _:
            extra = 0
    return extra
