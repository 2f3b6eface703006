import csv

import numpy as np
import pytest

from striate.data import TEST, TRAIN, VALIDATION, Data, Problem, load_data
from striate.errors import DataError, UsageError


def sample(count: int = 200, **options: object) -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 5, 3), np.uint8)
    return Data.from_arrays(images, np.arange(count) % 2, **options)


def test_split_gives_the_designed_shares() -> None:
    data = sample().split()
    assert len(data.indices(TEST)) == 30
    assert len(data.indices(VALIDATION)) == 17
    assert len(data.indices(TRAIN)) == 153
    assert data.split_counts() == {"train": 153, "validation": 17, "test": 30}
    assert data.counts() == {"0": 100, "1": 100}


def test_no_validation_trains_on_all_but_the_test() -> None:
    data = sample().split(validation=0, test=0)
    assert data.split_counts() == {"train": 200}


@pytest.mark.parametrize("shares", [{"validation": 1.0}, {"test": -0.1}, {"test": float("nan")}])
def test_shares_out_of_range(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="share"):
        sample().split(**shares)


def test_statistics_are_those_of_the_training_images() -> None:
    data = sample().split()
    seen = data.images[data.indices(TRAIN)] / 255
    np.testing.assert_allclose(data.preprocessing.mean, seen.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.preprocessing.std, seen.std((0, 1, 2)), rtol=1e-12)
    assert data.preprocessing.size == (6, 5)


def test_before_the_split_the_test_images_are_not_looked_at() -> None:
    data = sample(100, test_images=np.full((9, 6, 5, 3), 255), test_labels=[0, 1, 0] * 3)
    np.testing.assert_allclose(data.preprocessing.mean, (data.images[:100] / 255).mean((0, 1, 2)))


def test_one_flat_channel_has_a_deviation_above_zero() -> None:
    data = Data.from_arrays(np.zeros((4, 2, 2)), [0, 1, 0, 1])
    assert data.preprocessing.std[0] > 0


def test_the_manifest_hash_names_what_is_trained_on() -> None:
    data = sample()
    changed = data.images.copy()
    changed[7, 0, 0, 0] ^= 1
    assert data.manifest_hash == sample().manifest_hash == data.split().manifest_hash
    assert data.manifest_hash == load_data(data, size=3).manifest_hash
    assert data.manifest_hash != Data.from_arrays(changed, data.labels).manifest_hash
    assert data.manifest_hash != Data.from_arrays(data.images, 1 - data.labels).manifest_hash


def test_the_manifest_names_every_image() -> None:
    data = sample(20).split()
    rows = list(csv.DictReader(data.manifest().splitlines()))
    assert [row["name"] for row in rows] == list(data.names)
    assert {row["split"] for row in rows} == {"train", "validation", "test"}


def test_load_data_takes_arrays_and_data() -> None:
    data = sample()
    assert load_data(data) is data
    pair = load_data((data.images, data.labels))
    assert pair.manifest_hash == data.manifest_hash
    both = load_data((data.images, data.labels, data.images[:4], data.labels[:4]))
    assert len(both.indices(TEST)) == 4
    with pytest.raises(DataError, match="3 arrays"):
        load_data((data.images, data.labels, data.images))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_arrays_are_resized(resize: str) -> None:
    data = load_data(sample(8), size=12, resize=resize)
    assert data.images.shape == (8, 12, 12, 3)
    assert data.preprocessing.resize == resize
    assert data.preprocessing.background == (255, 255, 255)


def test_grey_arrays_are_resized() -> None:
    data = load_data((np.zeros((4, 6, 6), np.uint8), [0, 1, 0, 1]), size=3, background=(9, 9, 9))
    assert data.images.shape == (4, 3, 3, 1)
    assert data.preprocessing.background == (9,)


@pytest.mark.parametrize(
    "options",
    [{"size": -1}, {"size": 5000}, {"resize": "stretch"}, {"background": (1, 2)},
     {"background": (256,)}],
)  # fmt: skip
def test_arguments_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        load_data(sample(8), **options)


def test_a_problem_prints_as_json() -> None:
    problem = Problem("leak", ("a", "b"), "text")
    assert problem.to_json() == {"kind": "leak", "paths": ["a", "b"], "message": "text"}
