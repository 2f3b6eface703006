"""The time of a training step, predicted from some of its layers measured on the spot."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from striate.kernels.memory import keep_freed_memory
from striate.nets.footprint import FLOAT_BYTES
from striate.nets.graph import ResponseNorm
from striate.nets.memory import training_bytes
from striate.nets.shapes import Traced
from striate.nets.speed import (
    Ceilings,
    loss_seconds,
    measure_ceilings,
    optimizer_seconds,
    work_seconds,
)
from striate.nets.work import LARGEST_TENSOR, MOST_WEIGHTS, Work, alike, cut, halved, smallest

BUDGET = 1.2  # seconds, shared out among the groups by what they are guessed to take
LEAST_PORTION = 0.012  # seconds for a group
RUNS = 3  # of what is measured, that a portion pays for
AS_MUCH_MEMORY = 64 * 2**20  # bytes: so much puts a layer's tensors out of the caches
MOST_COPIES = 16
ALIKE = 0.6  # of the largest layer of a group: less work than that needs a line of its own

# For a first guess from the ceilings, which only decides what is measured and how much of it.
PASSES = 8  # over the values of a layer, forward and back
RESPONSE_NORM_PASSES = 60  # of which one is over five channels, and one takes powers
WEIGHT_PASSES = 6  # over its weights: used twice, put in order, and their gradient written
OVERHEAD = 3e-5  # seconds for calling a layer, forward and back


def step_seconds(traced: Traced, batch: int) -> float:
    """The predicted time of a training step in fp32 on the CPU, with SGD with momentum.

    The layers are put into groups of about the same kind and size. Of each group the largest layer
    is measured forward and back, on fewer images or a smaller map where it would take more than its
    portion of the time, and on next to nothing; a straight line through the two gives the time of
    the others. To their sum come the optimiser and the loss. Groups of layers that are too large to
    try are guessed from ceilings of the machine, and corrected by what the guess was off for the
    others.

    The step is one of many: freed memory stays with the process, as in a training.
    """
    keep_freed_memory()
    ceilings = measure_ceilings()
    pieces = cut(traced)
    memory = min(2 * training_bytes(traced, batch), AS_MUCH_MEMORY)
    layers = _layers_seconds(_groups(pieces, batch, ceilings), batch, memory, ceilings)
    tensors, weights = sum(p.tensors for p in pieces), sum(p.weights for p in pieces)
    optimizer = optimizer_seconds(tensors, weights, memory=memory)
    return layers + optimizer + (loss_seconds(traced.output.size, batch) if weights else 0.0)


def _layers_seconds(
    groups: list[tuple[list[Work], float]], batch: int, memory: int, ceilings: Ceilings
) -> float:
    """The time of all groups, each with its guess; what time is left is shared out by these."""
    end = time.perf_counter() + BUDGET
    to_come = sum(guess for _, guess in groups)
    measured = guessed = left_out = 0.0
    for group, guess in groups:
        portion = max((end - time.perf_counter()) * guess / to_come, LEAST_PORTION)
        seconds = _Trial(batch, memory, portion / RUNS, ceilings).measure(group)
        to_come -= guess
        if seconds is None:
            left_out += guess
        else:
            guessed += guess
            measured += seconds
    return measured + left_out * (measured / guessed if guessed else 1.0)


def _groups(pieces: list[Work], batch: int, ceilings: Ceilings) -> list[tuple[list[Work], float]]:
    """Alike pieces together, and a guess of their time; those that matter most come first."""
    groups: dict[tuple[object, ...], list[Work]] = defaultdict(list)
    for work in pieces:
        groups[alike(work, batch)].append(work)
    guesses = [sum(_guess(work, batch, ceilings) for work in group) for group in groups.values()]
    return sorted(zip(groups.values(), guesses, strict=True), key=lambda pair: -pair[1])


def _guess(work: Work, batch: int, ceilings: Ceilings) -> float:
    """Three passes over the products, and some over the values and the weights."""
    products = 3 * batch * work.multiply_adds
    passes = RESPONSE_NORM_PASSES if isinstance(work.layer, ResponseNorm) else PASSES
    moved = FLOAT_BYTES * (passes * batch * work.values + WEIGHT_PASSES * work.weights)
    rates = ceilings.multiply_adds_per_second, ceilings.bytes_per_second
    return products / rates[0] + moved / rates[1] + OVERHEAD


@dataclass(frozen=True)
class _Trial:
    """How one group is measured.

    Attributes:
        batch: Images of the step.
        memory: Bytes that put a layer's tensors as far from the caches as in the step.
        portion: Seconds that one run may take.
        ceilings: For guesses.
    """

    batch: int
    memory: int
    portion: float
    ceilings: Ceilings

    def measure(self, group: list[Work]) -> float | None:
        """The time of all pieces, or None if even the least part of one is too large."""
        largest = max(group, key=lambda work: work.amount)
        tried = self._affordable(largest)
        if tried is None:
            return None
        work, images = tried
        seconds = self._seconds(work, images)
        amount = images * work.amount
        start, slope = 0.0, seconds / amount
        little, few = smallest(largest, self.batch)
        if few * little.amount < amount and (tried != (largest, self.batch) or _vary(group)):
            least = self._seconds(little, few)
            slope = max(0.0, seconds - least) / (amount - few * little.amount)
            start = max(0.0, seconds - slope * amount)
        return sum(start + slope * self.batch * work.amount for work in group)

    def _affordable(self, work: Work) -> tuple[Work, int] | None:
        """As much of a piece of work as can be measured in the portion."""
        images = self.batch
        while self._too_much(work, images) and (less := halved(work, images)) is not None:
            work, images = less
        return None if _is_large(work, images) else (work, images)

    def _too_much(self, work: Work, images: int) -> bool:
        return _is_large(work, images) or _guess(work, images, self.ceilings) > self.portion

    def _seconds(self, work: Work, images: int) -> float:
        """On so many copies that they use the memory, if there is the time for it."""
        each = FLOAT_BYTES * (images * work.values + 2 * work.weights)
        afforded = int(self.portion / _guess(work, images, self.ceilings))
        copies = max(1, min(self.memory // each, afforded, MOST_COPIES))
        return work_seconds(work, images, copies=copies)


def _is_large(work: Work, images: int) -> bool:
    return work.tensor_bytes(images) > LARGEST_TENSOR or work.weights > MOST_WEIGHTS


def _vary(group: list[Work]) -> bool:
    amounts = [work.amount for work in group]
    return min(amounts) < ALIKE * max(amounts)
