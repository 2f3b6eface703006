"""Which images train, which choose, which judge.

The split is a function of the seed and of what the images hold: neither the names nor the order of
the files matter, exact duplicates and the members of a group stay on one side, and each class keeps
its share.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from striate.data.hashing import content_keys
from striate.data.random import Stream, hash64


class Split(IntEnum):
    """The code of a split in `Data.splits`."""

    UNASSIGNED = -1
    TRAIN = 0
    VALIDATION = 1
    TEST = 2


UNASSIGNED, TRAIN, VALIDATION, TEST = Split.UNASSIGNED, Split.TRAIN, Split.VALIDATION, Split.TEST


def assign_splits(
    splits: NDArray[np.int8],
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    contents: NDArray[np.uint8],
    *,
    validation: float,
    test: float,
    seed: int,
) -> NDArray[np.int8]:
    """Give every image a split; what the source has assigned to validation or test stays.

    Images that the source names for training are taken only once no unassigned ones are left.

    Args:
        splits: int8 (N,), codes of `Split` as the source gives them.
        labels: int64 (N,).
        units: int64 (N,); images of one unit are never separated.
        contents: uint8 (N, 16), what the images hold.
        validation: The share of the training images to take for validation, if the source names
            none.
        test: The share of all images to take for the test, if the source names none.
        seed: Another seed, another split.

    Returns:
        int8 (N,), none of them UNASSIGNED.
    """
    assigned = splits.copy()
    # The content decides: a file that is renamed, or joined by others, keeps its place in the draw.
    draws = hash64(seed, 0, Stream.SPLIT, contents[:, :8].copy().view(np.uint64).reshape(-1))
    for code, share in ((TEST, test), (VALIDATION, validation)):
        if share > 0 and not (splits == code).any():
            free = np.flatnonzero((assigned == UNASSIGNED) | (assigned == TRAIN))
            last = splits[free] == TRAIN
            taken = _draw(labels[free], units[free], draws[free], share=share, last=last)
            assigned[free[taken]] = code
    assigned[assigned == UNASSIGNED] = TRAIN
    return assigned


def join_groups(contents: NDArray[np.uint8], groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Number the units of the split: images with equal content, or of one group, however chained.

    Args:
        contents: uint8 (N, 16).
        groups: int64 (N,), the source's groups, or None.

    Returns:
        int64 (N,), from 0.
    """
    same_content = np.unique(content_keys(contents), return_inverse=True)[1].reshape(-1)
    units = same_content.astype(np.int64)
    if groups is None:
        return units
    while True:
        joined = _smallest_of_each(_smallest_of_each(units, groups), same_content)
        if np.array_equal(joined, units):
            return np.unique(units, return_inverse=True)[1].reshape(-1).astype(np.int64)
        units = joined


def _smallest_of_each(values: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest value among the images that share a key, for each image."""
    smallest = np.full(int(keys.max(initial=-1)) + 1, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(smallest, keys, values)
    spread: NDArray[np.int64] = smallest[keys]
    return spread


def _draw(
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    draws: NDArray[np.uint64],
    *,
    share: float,
    last: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Choose whole units until each class has given its quota, those in `last` last; bool (N,)."""
    counts = np.bincount(labels)
    quotas = _quotas(counts, share).tolist()
    left = counts.tolist()
    label_of = labels.tolist()
    taken = np.zeros(len(labels), bool)
    for members in _units_in_order(units, draws, last):
        given = Counter(label_of[member] for member in members)
        # A unit is taken if that brings the counts nearer to the quotas and leaves something to
        # learn from.
        nearer = sum(abs(quotas[k] - n) - abs(quotas[k]) for k, n in given.items()) < 0
        if nearer and all(n < left[k] for k, n in given.items()):
            taken[members] = True
            for k, n in given.items():
                quotas[k] -= n
                left[k] -= n
    return taken


def _units_in_order(
    units: NDArray[np.int64], draws: NDArray[np.uint64], last: NDArray[np.bool_]
) -> Iterator[list[int]]:
    """The members of each unit, the units in the order of their smallest draw, late ones last."""
    lowest = np.full(int(units.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, units, draws)
    late = np.zeros(len(lowest), bool)
    late[units[last]] = True
    order = np.lexsort((units, lowest[units], late[units]))
    starts = np.flatnonzero(np.diff(units[order], prepend=-1)).tolist()
    members = order.tolist()
    for start, stop in pairwise([*starts, len(members)]):
        yield members[start:stop]


def _quotas(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """How many images each class gives: its share, rounded so that the total is right too.

    The remainders go to the classes with the largest ones; a class always keeps an image.
    """
    exact = counts * share
    quotas = np.floor(exact).astype(np.int64)
    missing = math.floor(exact.sum() + 0.5) - int(quotas.sum())
    order = np.argsort(quotas - exact, kind="stable")
    quotas[order[:missing]] += 1
    limited: NDArray[np.int64] = np.minimum(quotas, np.maximum(counts - 1, 0))
    return limited
