import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import Preprocessing
from striate.data.resize import choose_size, fit, fit_array

HALVES = np.zeros((40, 80, 3), np.uint8)
HALVES[:, 20:60] = 200  # the middle square is bright


def fitted(resize: str, size: tuple[int, int] = (16, 16), **options: object) -> np.ndarray:
    preprocessing = Preprocessing(size=size, channels=3, resize=resize, **options)
    return fit(HALVES, preprocessing)


def test_squash_keeps_all() -> None:
    columns = fitted("squash")[8, :, 0]
    assert columns[0] == 0
    assert columns[8] == 200
    assert columns[-1] == 0


def test_crop_keeps_the_middle() -> None:
    np.testing.assert_array_equal(fitted("crop")[:, 1:-1], 200)


def test_pad_keeps_the_shape_on_the_background() -> None:
    padded = fitted("pad", background=(1, 2, 3))
    np.testing.assert_array_equal(padded[0], np.broadcast_to([1, 2, 3], (16, 3)))
    assert padded[8, 8, 0] == 200
    assert padded[8, 0, 0] == 0


def test_scaling_down_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    preprocessing = Preprocessing(size=(16, 16), channels=1)
    grey = fit(stripes, preprocessing)
    assert np.abs(grey[2:-2, 2:-2].astype(int) - 127).max() <= 3


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_any_size_is_reached(
    resize: str, given_size: tuple[int, int], size: tuple[int, int]
) -> None:
    preprocessing = Preprocessing(size=size, channels=1, resize=resize)
    pixels = fit(np.full((*given_size, 1), 77, np.uint8), preprocessing)
    assert pixels.shape == (*size, 1)
    assert 77 in pixels
    assert set(np.unique(pixels)) <= {77, 255}


def test_arrays_are_fitted_as_images_are() -> None:
    preprocessing = Preprocessing(size=(7, 9), channels=3)
    np.testing.assert_array_equal(
        fit_array(HALVES[None], preprocessing)[0], fit(HALVES, preprocessing)
    )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 10, (28, 28)),
        ([(30, 40)] * 10, (30, 40)),
        ([(240, 320)] * 10, (64, 64)),
        ([(128, 128)] * 10, (128, 128)),
        ([(30, 40), (40, 30)], (32, 32)),
        ([(60, 90), (70, 90)], (64, 64)),
        ([(100, 120), (110, 120)], (64, 64)),
    ],
)
def test_the_size_follows_the_images(
    sizes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    assert choose_size(sizes) == expected
