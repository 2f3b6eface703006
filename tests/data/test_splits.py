import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from striate.data import TEST, TRAIN, UNASSIGNED, VALIDATION
from striate.data.splits import assign_splits, join_groups
from striate.kernels import DIGEST_BYTES


def digests(values: list[int]) -> NDArray[np.uint8]:
    """A digest of its own for each value."""
    keys = np.array(values, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    spread = np.zeros((len(values), DIGEST_BYTES), np.uint8)
    spread[:, :8] = keys.view(np.uint8).reshape(-1, 8)
    return spread


def split(
    labels: list[int], contents: list[int], groups: list[int] | None = None, seed: int = 0
) -> NDArray[np.int8]:
    hashes = digests(contents)
    units = join_groups(hashes, None if groups is None else np.array(groups))
    free = np.full(len(labels), UNASSIGNED, np.int8)
    return assign_splits(
        free, np.array(labels), units, hashes, validation=0.1, test=0.15, seed=seed
    )


labelled = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=200)


@settings(deadline=None)
@given(labelled, st.integers(0, 2**63))
def test_every_image_is_assigned_and_every_class_trains(
    images: list[tuple[int, int]], seed: int
) -> None:
    labels, contents = map(list, zip(*images, strict=True))
    splits = split(labels, contents, seed=seed)
    assert set(splits.tolist()) <= {TRAIN, VALIDATION, TEST}
    trained = {label for label, code in zip(labels, splits, strict=True) if code == TRAIN}
    assert trained == set(labels)


@settings(deadline=None)
@given(labelled)
def test_equal_images_are_on_one_side(images: list[tuple[int, int]]) -> None:
    labels, contents = map(list, zip(*images, strict=True))
    sides: dict[int, set[int]] = {}
    for content, code in zip(contents, split(labels, contents).tolist(), strict=True):
        sides.setdefault(content, set()).add(code)
    assert all(len(codes) == 1 for codes in sides.values())


@settings(deadline=None)
@given(labelled, st.lists(st.integers(0, 9), min_size=200, max_size=200))
def test_groups_are_on_one_side(images: list[tuple[int, int]], groups: list[int]) -> None:
    labels, contents = map(list, zip(*images, strict=True))
    groups = groups[: len(labels)]
    sides: dict[int, set[int]] = {}
    for group, code in zip(groups, split(labels, contents, groups).tolist(), strict=True):
        sides.setdefault(group, set()).add(code)
    assert all(len(codes) == 1 for codes in sides.values())


@settings(deadline=None)
@given(st.permutations(range(120)))
def test_the_order_of_the_images_does_not_matter(order: list[int]) -> None:
    labels = [place % 4 for place in range(120)]
    contents = list(range(120))
    straight = split(labels, contents)
    shuffled = split([labels[k] for k in order], [contents[k] for k in order])
    np.testing.assert_array_equal(shuffled, straight[order])


def test_shares_are_kept_in_every_class_and_in_all() -> None:
    labels = [0] * 600 + [1] * 300 + [2] * 100
    splits = split(labels, list(range(1000)))
    assert (splits == TEST).sum() == 150
    assert (splits == VALIDATION).sum() == 85  # a tenth of the 850 that are left
    counts = np.bincount(np.array(labels)[splits == TEST])
    np.testing.assert_array_equal(counts, [90, 45, 15])


def test_many_small_classes_give_their_share_together() -> None:
    splits = split([k // 3 for k in range(300)], list(range(300)))
    assert (splits == TEST).sum() == 45
    assert (splits == VALIDATION).sum() == pytest.approx(25.5, abs=1)


def test_large_groups_are_taken_where_that_comes_nearer() -> None:
    groups = [k // 120 for k in range(1200)]
    splits = split([0] * 1200, list(range(1200)), groups)
    assert (splits == TEST).sum() in (120, 240)
    assert (splits == VALIDATION).sum() == 120


def test_a_class_with_one_image_trains() -> None:
    splits = split([0] * 50 + [1], list(range(51)))
    assert splits[50] == TRAIN


def test_another_seed_is_another_split() -> None:
    labels, contents = [0, 1] * 100, list(range(200))
    assert not np.array_equal(split(labels, contents), split(labels, contents, seed=1))


def test_an_added_image_moves_few_others() -> None:
    before = split([0] * 400, list(range(400)))
    after = split([0] * 401, list(range(401)))
    assert (before != after[:400]).mean() < 0.02


def test_what_the_source_assigns_stays() -> None:
    hashes = digests(list(range(100)))
    given_splits = np.full(100, TRAIN, np.int8)
    given_splits[80:] = TEST
    splits = assign_splits(
        given_splits,
        np.zeros(100, np.int64),
        join_groups(hashes, None),
        hashes,
        validation=0.1,
        test=0.15,
        seed=0,
    )
    np.testing.assert_array_equal(splits == TEST, given_splits == TEST)
    assert (splits == VALIDATION).sum() == 8


def assign(given_splits: NDArray[np.int8], *, test: float = 0.15) -> NDArray[np.int8]:
    hashes = digests(list(range(len(given_splits))))
    labels = np.arange(len(given_splits)) % 2
    units = join_groups(hashes, None)
    return assign_splits(given_splits, labels, units, hashes, validation=0.1, test=test, seed=0)


def test_unassigned_images_are_taken_before_those_named_for_training() -> None:
    given_splits = np.full(100, TRAIN, np.int8)
    given_splits[60:] = UNASSIGNED
    splits = assign(given_splits)
    assert (splits[:60] == TRAIN).all()
    assert ((splits == TEST).sum(), (splits == VALIDATION).sum()) == (15, 9)


def test_too_few_unassigned_images_are_filled_up_from_those_named_for_training() -> None:
    given_splits = np.full(100, TRAIN, np.int8)
    given_splits[96:] = UNASSIGNED
    splits = assign(given_splits)
    assert (splits[96:] == TEST).all()
    assert ((splits == TEST).sum(), (splits == VALIDATION).sum()) == (15, 9)


@pytest.mark.parametrize(("share", "count"), [(0.15, 12), (0.0, 0)])
def test_named_training_and_validation_images_give_a_test(share: float, count: int) -> None:
    given_splits = np.full(100, TRAIN, np.int8)
    given_splits[80:] = VALIDATION
    splits = assign(given_splits, test=share)
    np.testing.assert_array_equal(splits == VALIDATION, given_splits == VALIDATION)
    assert (splits == TEST).sum() == count


def test_chained_groups_are_one_unit() -> None:
    # 0 and 1 hold the same image, 1 and 2 are of one group, 2 and 3 hold the same image.
    units = join_groups(digests([5, 5, 6, 6, 7]), np.array([0, 1, 1, 2, 3]))
    np.testing.assert_array_equal(units, [0, 0, 0, 0, 1])


def test_sixty_thousand_images_are_split_fast() -> None:
    labels = [k % 10 for k in range(60_000)]
    splits = split(labels, list(range(60_000)))
    assert (splits == TEST).sum() == 9000
