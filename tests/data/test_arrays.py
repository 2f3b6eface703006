import numpy as np
import pytest

from striate.data import TEST, UNASSIGNED, Data
from striate.data.sources.arrays import as_pixels
from striate.errors import DataError

LABELS = np.arange(6) % 3


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_uint8_is_taken_as_it_is() -> None:
    pixels = images(6, 5, 4, 3)
    data = Data.from_arrays(pixels, LABELS)
    assert np.shares_memory(data.images, pixels)
    assert data.classes == ("0", "1", "2")
    assert data.labels.dtype == np.int64
    assert data.name == "arrays"
    assert set(data.splits) == {UNASSIGNED}
    assert data.names[4] == "train/4"


def test_grey_gets_a_channel() -> None:
    assert Data.from_arrays(images(6, 5, 4), LABELS).images.shape == (6, 5, 4, 1)


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.float64])
def test_other_kinds_are_brought_to_uint8(kind: type) -> None:
    pixels = images(6, 5, 4, 1)
    given = pixels.astype(kind) / 255 if kind is np.float64 else pixels.astype(kind)
    np.testing.assert_array_equal(as_pixels(given, where="x"), pixels)


def test_bool_is_black_and_white() -> None:
    assert set(np.unique(as_pixels(images(6, 5, 4) > 99, where="x"))) == {0, 255}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((6, 3, 8, 8)), "transpose"),
        (np.zeros((6, 8, 8, 2)), "C 1 or 3"),
        (np.zeros((6, 8)), "shape"),
        (np.zeros((0, 8, 8)), "no images"),
        (np.full((6, 8, 8), 300), r"300 .. 300"),
        (np.full((6, 8, 8), -1.0), "floats in 0..1"),
        (np.full((6, 8, 8), np.nan), "floats in 0..1"),
        (np.full((6, 8, 8), "a"), "not numbers"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], "several shapes"),
    ],
)
def test_images_that_do_not_fit(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.from_arrays(given, LABELS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.arange(5), "6 images and 5 labels"),
        (np.eye(6), "argmax"),
        (np.zeros((6, 2, 2)), "one number"),
        (np.arange(6) / 4, "whole numbers"),
        (np.zeros(6, int), "at least two classes"),
    ],
)
def test_labels_that_do_not_fit(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.from_arrays(images(6, 8, 8), given)


@pytest.mark.parametrize(
    "given",
    [
        ["cat", "dog"] * 3,
        np.array(["cat", "dog"] * 3, object),
        np.array([["cat"], ["dog"]] * 3),
    ],
)
def test_text_labels_are_numbered(given: object) -> None:
    data = Data.from_arrays(images(6, 8, 8), given)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize("kind", [bool, float])
def test_bool_and_whole_floats_are_numbers(kind: type) -> None:
    data = Data.from_arrays(images(6, 8, 8), (np.arange(6) % 2).astype(kind))
    assert data.classes == ("0", "1")


def test_classes_may_be_given() -> None:
    data = Data.from_arrays(images(6, 8, 8), LABELS, classes=["a", "b", "c"])
    assert data.classes == ("a", "b", "c")
    text = Data.from_arrays(images(6, 8, 8), ["b", "a"] * 3, classes=["b", "a"])
    assert text.labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (LABELS, ["a", "b"], "label 2 is not in 0 .. 1"),
        (LABELS, ["a", "a", "b"], "same name"),
        (["x", "y"] * 3, ["x", "z"], "'y' is not among"),
    ],
)
def test_classes_that_do_not_fit(labels: object, classes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.from_arrays(images(6, 8, 8), labels, classes=classes)


def test_test_images_are_the_test_split() -> None:
    data = Data.from_arrays(
        images(6, 8, 8), LABELS, test_images=images(3, 8, 8), test_labels=[0, 1, 2]
    )
    assert data.indices(TEST).tolist() == [6, 7, 8]
    assert data.names[-1] == "test/2"


def test_test_images_need_their_labels_and_the_same_shape() -> None:
    with pytest.raises(DataError, match="together"):
        Data.from_arrays(images(6, 8, 8), LABELS, test_images=images(3, 8, 8))
    with pytest.raises(DataError, match="differ in the shape"):
        Data.from_arrays(
            images(6, 8, 8), LABELS, test_images=images(3, 9, 8), test_labels=[0, 1, 2]
        )


def test_a_class_without_images_is_said_and_keeps_its_number() -> None:
    data = Data.from_arrays(images(6, 8, 8), LABELS, classes=["a", "b", "c", "d"])
    assert data.counts() == {"a": 2, "b": 2, "c": 2, "d": 0}
    assert [(p.kind, p.paths) for p in data.problems] == [("empty-class", ("d",))]
    with pytest.raises(DataError, match="only class with images is b; without images: a, c"):
        Data.from_arrays(images(6, 8, 8), LABELS * 0 + 1, classes=["a", "b", "c"])
