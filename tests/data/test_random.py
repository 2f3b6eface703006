import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.random import (
    Stream,
    hash64,
    hash_one,
    integers,
    ordering,
    uniform,
)

MASK = (1 << 64) - 1
seeds = st.integers(-(2**70), 2**70)
epochs = st.integers(0, 10_000)


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    return ordering(seed, epoch, np.arange(n, dtype=np.int64))


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator, one number at a time."""
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        numbers.append(z ^ (z >> 31))
    return numbers


def test_numbers_are_a_splitmix64_sequence_from_the_key():
    assert splitmix64(0, 1) == [0xE220A8397B1DCDAF]  # the published first value for seed 0
    key = 0
    for part in (11, 3, Stream.FLIP):
        key = splitmix64(key ^ part, 1)[0]
    assert hash64(11, 3, Stream.FLIP, np.arange(50)).tolist() == splitmix64(key, 50)


@settings(deadline=None)
@given(seeds, epochs, st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_a_number_depends_on_its_own_index_alone(seed, epoch, indices):
    together = hash64(seed, epoch, Stream.FLIP, np.array(indices))
    alone = [int(hash64(seed, epoch, Stream.FLIP, index)) for index in indices]
    assert alone == [hash_one(seed, epoch, Stream.FLIP, int(index)) for index in indices]
    assert together.tolist() == alone
    assert together.dtype == np.uint64


def test_every_part_of_the_key_counts():
    index = np.arange(1000)
    draws = [
        hash64(seed, epoch, stream, index)
        for seed in (0, 1, 2**40)
        for epoch in (0, 1)
        for stream in (Stream.ORDER, Stream.FLIP)
    ]
    assert len(np.unique(np.concatenate(draws))) == len(draws) * 1000


@pytest.mark.parametrize("index", [np.arange(6).reshape(2, 3), np.int32(4), np.zeros((0,), int)])
def test_the_shape_is_kept(index):
    assert hash64(0, 0, 0, index).shape == np.shape(index)
    assert uniform(0, 0, 0, index).shape == np.shape(index)


def test_uniform_fills_the_unit_interval_evenly_and_streams_are_uncorrelated():
    index = np.arange(200_000)
    first, second = (uniform(5, 2, stream, index) for stream in (Stream.HUE, Stream.FLIP))
    assert first.dtype == np.float64
    assert first.min() >= 0
    assert first.max() < 1
    counts = np.histogram(first, bins=100, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 150  # chi-squared with 99 degrees: p about 0.0007
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.01
    next_epoch = uniform(5, 3, Stream.HUE, index)
    assert abs(np.corrcoef(first, next_epoch)[0, 1]) < 0.01


def test_integers_reach_every_value_evenly():
    drawn = integers(0, 0, Stream.SHIFT_ROWS, np.arange(50_000), below=5)
    assert drawn.dtype == np.int64
    counts = np.bincount(drawn, minlength=5)
    assert len(counts) == 5
    assert abs(counts - 10_000).max() < 400


@settings(deadline=None)
@given(seeds, epochs, st.integers(0, 300))
def test_an_ordering_holds_every_index_once(seed, epoch, n):
    shuffled = permutation(seed, epoch, n)
    assert shuffled.dtype == np.int64
    assert sorted(shuffled.tolist()) == list(range(n))


def test_an_ordering_differs_by_epoch_and_seed():
    orders = [permutation(seed, epoch, 100).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_the_order_of_a_subset_is_the_order_within_the_whole():
    whole = permutation(1, 2, 100)
    odd = np.arange(99, 0, -2)
    assert ordering(1, 2, odd).tolist() == whole[whole % 2 == 1].tolist()


def test_an_ordering_is_locked_so_that_old_runs_can_be_repeated():
    assert permutation(0, 0, 10).tolist() == [1, 9, 0, 8, 4, 6, 7, 2, 3, 5]
