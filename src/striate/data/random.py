"""Random numbers that depend on what they are for, never on who draws them or when.

Each number is a hash of (seed, epoch, stream, index): counter-based, so that any slice of any epoch
can be drawn by itself, in any order, by any thread or process, with the same result.

The hash is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014):
the key of a (seed, epoch, stream) is the start of one of its sequences, `index` the place in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: SplitMix64's step
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


@unique
class Stream(IntEnum):
    """What a number is for; two uses never share a stream, so that they are independent."""

    ORDER = 0
    FLIP = 1
    SHIFT_ROWS = 2
    SHIFT_COLUMNS = 3
    CROP_AREA = 4
    CROP_ASPECT = 5
    CROP_ROW = 6
    CROP_COLUMN = 7
    ROTATE = 8
    BRIGHTNESS = 9
    CONTRAST = 10
    SATURATION = 11
    HUE = 12
    CUTOUT_ROW = 13
    CUTOUT_COLUMN = 14
    SPLIT = 15
    SAMPLE = 16
    STEP = 17
    INITIALIZE = 18


def hash64(
    seed: int, epoch: int, stream: int, index: NDArray[np.integer] | int
) -> NDArray[np.uint64]:
    """Hash each index under one key; different indices never collide under the same key.

    Args:
        seed: The run's seed; the lowest 64 bits count, negative numbers are fine.
        epoch: The epoch, from 0.
        stream: What the number is for, see `Stream`.
        index: Integers of any shape, at least 0; one number is drawn for each.

    Returns:
        uint64 of the shape of `index`, uniform over all 64 bits.

    >>> [hex(number) for number in hash64(0, 0, Stream.ORDER, np.arange(2)).tolist()]
    ['0x2130748aaac80268', '0xcc78fb979ce5090']
    """
    key = _key(seed, epoch, stream)
    state = np.asarray(index).astype(np.uint64)
    # In place on an array of at least one dimension: NumPy warns of overflow on scalars alone.
    mixed = np.atleast_1d(state) * np.uint64(_GOLDEN)
    mixed += np.uint64((key + _GOLDEN) & _MASK)
    for shift, multiplier in zip(_SHIFTS[:2], _MULTIPLIERS, strict=True):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(multiplier)
    mixed ^= mixed >> np.uint64(_SHIFTS[2])
    return mixed.reshape(state.shape)


def hash_one(seed: int, epoch: int, stream: int, index: int) -> int:
    """Hash one index, as `hash64` does, without NumPy: for what is drawn at every step.

    Returns:
        0 to 2^64 - 1.
    """
    return _mix_integer(_key(seed, epoch, stream) + _GOLDEN * (index + 1))


def uniform(
    seed: int, epoch: int, stream: int, index: NDArray[np.integer] | int
) -> NDArray[np.float64]:
    """Draw float64 in [0, 1), multiples of 2^-53, one for each index; arguments as `hash64`."""
    return (hash64(seed, epoch, stream, index) >> np.uint64(11)) * np.float64(2.0**-53)


def integers(
    seed: int, epoch: int, stream: int, index: NDArray[np.integer] | int, *, below: int
) -> NDArray[np.int64]:
    """Draw int64 in 0 .. below - 1, one for each index; `below` is at most 2^31.

    The probabilities differ by less than below / 2^53.
    """
    return (uniform(seed, epoch, stream, index) * below).astype(np.int64)


@dataclass(frozen=True)
class Draws:
    """What is drawn for some images in one epoch.

    Args:
        seed: The run's seed.
        epoch: The epoch, from 0.
        index: int64 (B,), the images' places in the data.
    """

    seed: int
    epoch: int
    index: NDArray[np.int64]

    def between(self, stream: Stream, low: float, high: float) -> NDArray[np.float64]:
        """Draw float64 (B,), uniform from `low` to `high`."""
        return low + (high - low) * uniform(self.seed, self.epoch, stream, self.index)

    def integers(self, stream: Stream, low: int, high: int) -> NDArray[np.int64]:
        """Draw int64 (B,), uniform over `low` to `high`, both included."""
        below = high - low + 1
        return low + integers(self.seed, self.epoch, stream, self.index, below=below)

    def alternating(self, stream: Stream) -> NDArray[np.bool_]:
        """Draw bool (B,): by chance in epoch 0, and from then on the other way every epoch."""
        chance = uniform(self.seed, 0, stream, self.index)
        return chance < 0.5 if self.epoch % 2 == 0 else chance >= 0.5


def ordering(seed: int, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shuffle distinct indices by keys that depend on (seed, epoch, index) alone.

    Returns:
        int64 (n,): the indices, shuffled; the order in which they are given does not matter.
    """
    # Keys are distinct, as the hash is a bijection: any sort, stable or not, gives one order.
    return indices[np.argsort(hash64(seed, epoch, Stream.ORDER, indices))]


def _key(seed: int, epoch: int, stream: int) -> int:
    key = 0
    for part in (seed, epoch, stream):
        key = _mix_integer((key ^ (int(part) & _MASK)) + _GOLDEN)
    return key


def _mix_integer(value: int) -> int:
    """SplitMix64's finaliser on a Python integer."""
    value &= _MASK
    for shift, multiplier in zip(_SHIFTS[:2], _MULTIPLIERS, strict=True):
        value = ((value ^ (value >> shift)) * multiplier) & _MASK
    return value ^ (value >> _SHIFTS[2])
