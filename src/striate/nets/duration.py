"""The time of a training step, predicted from some of its layers measured on the spot."""

from __future__ import annotations

import time
from collections import defaultdict

from striate.nets.footprint import FLOAT_BYTES
from striate.nets.graph import ResponseNorm
from striate.nets.memory import LARGE_BLOCK, fresh_bytes, training_bytes
from striate.nets.shapes import Traced
from striate.nets.speed import (
    Ceilings,
    loss_seconds,
    measure_ceilings,
    optimizer_seconds,
    work_seconds,
)
from striate.nets.work import LARGEST_TENSOR, LARGEST_WEIGHTS, Work, alike, cut, halved, smallest

BUDGET = 0.6  # seconds; what is being measured when they are over is still finished
PORTION = 0.006  # seconds that one measured run may take
AS_MUCH_MEMORY = 64 * 2**20  # bytes: so much puts a layer's tensors out of the caches
MOST_COPIES = 16
MOST_WEIGHTS = 2**24  # of a layer that is tried
ALIKE = 0.6  # of the largest layer of a group: less work than that needs a line of its own

# Of the ceilings, reached on a first guess, which only decides what is measured and how much of it.
SHARE_REACHED = 0.5
PASSES = 8  # over the values of a layer, forward and back
RESPONSE_NORM_PASSES = 60  # of which one is over five channels, and one takes powers
WEIGHT_PASSES = 6  # over its weights: used twice, put in order, and their gradient written
OVERHEAD = 3e-5  # seconds for calling a layer, forward and back


def step_seconds(traced: Traced, batch: int) -> float:
    """The predicted time of a training step in fp32 on the CPU, with SGD with momentum.

    The layers are put into groups of about the same kind and size. Of each group the largest layer
    is measured forward and back, on fewer images or a smaller map where it would take long, and on
    next to nothing; a straight line through the two gives the time of the others. To their sum come
    the optimiser, the loss, and the paging in of memory that is too large to be kept from step to
    step. Groups that the budget of time leaves out are guessed from ceilings of the machine, and
    corrected by what the guess was off for the others.
    """
    end = time.perf_counter() + BUDGET
    ceilings = measure_ceilings(batch)
    pieces = cut(traced)
    memory = min(2 * training_bytes(traced, batch), AS_MUCH_MEMORY)
    measured = guessed = left_out = 0.0
    for group, guess in _groups(pieces, batch, ceilings):
        seconds = _measure(group, batch, memory, ceilings) if time.perf_counter() < end else None
        if seconds is None:
            left_out += guess
        else:
            guessed += guess
            measured += seconds
    layers = measured + left_out * (measured / guessed if guessed else 1.0)
    tensors, weights = sum(p.tensors for p in pieces), sum(p.weights for p in pieces)
    optimizer = optimizer_seconds(tensors, weights, memory=memory)
    loss = loss_seconds(traced.output.size, batch) if weights else 0.0
    return layers + optimizer + loss + fresh_bytes(traced, batch) / ceilings.fresh_bytes_per_second


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
    return products / (SHARE_REACHED * rates[0]) + moved / rates[1] + OVERHEAD


def _measure(group: list[Work], batch: int, memory: int, ceilings: Ceilings) -> float | None:
    """The time of all pieces of a group, or None if even the least part of one is too large."""
    largest = max(group, key=lambda work: work.amount)
    tried = _affordable(largest, batch, ceilings)
    if tried is None:
        return None
    work, images = tried
    seconds = work_seconds(work, images, copies=_copies(work, images, memory, ceilings))
    amount = images * work.amount
    start, slope = 0.0, seconds / amount
    little, few = smallest(largest, batch)
    if few * little.amount < amount and (tried != (largest, batch) or _vary(group)):
        least = work_seconds(little, few, copies=_copies(little, few, memory, ceilings))
        slope = max(0.0, seconds - least) / (amount - few * little.amount)
        start = max(0.0, seconds - slope * amount)
    return sum(start + slope * batch * work.amount for work in group)


def _vary(group: list[Work]) -> bool:
    amounts = [work.amount for work in group]
    return min(amounts) < ALIKE * max(amounts)


def _affordable(work: Work, batch: int, ceilings: Ceilings) -> tuple[Work, int] | None:
    """As much of a piece of work as can be measured in a portion of the time."""
    images = batch
    while _too_much(work, images, ceilings) and (less := halved(work, images)) is not None:
        work, images = less
    small = work.tensor_bytes(images) <= LARGE_BLOCK and work.weights <= MOST_WEIGHTS
    return (work, images) if small else None


def _too_much(work: Work, images: int, ceilings: Ceilings) -> bool:
    large = work.tensor_bytes(images) > LARGEST_TENSOR or work.weights > LARGEST_WEIGHTS
    return large or _guess(work, images, ceilings) > PORTION


def _copies(work: Work, images: int, memory: int, ceilings: Ceilings) -> int:
    """So many that they use `memory`, if there is the time for it."""
    each = FLOAT_BYTES * (images * work.values + 2 * work.weights)
    wanted = memory // each
    afforded = int(PORTION / _guess(work, images, ceilings))
    return max(1, min(wanted, afforded, MOST_COPIES))
