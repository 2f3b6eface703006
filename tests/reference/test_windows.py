"""Sizes, padding and the positions of a window."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.reference import exact_output_size, output_size, same_padding
from striate.reference.arrays import crop, every, pad, per_axis
from striate.reference.windows import windows


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (7, 3, 1, 0, 5),  # deck 004
        (7, 3, 2, 0, 3),
        (7, 3, 1, 1, 7),
        (32, 5, 1, 0, 28),  # 32 -> 28 -> 24: "shrinking too fast is not good"
        (28, 5, 1, 0, 24),
        (32, 5, 1, 2, 32),
        (227, 11, 4, 0, 55),  # deck 001, AlexNet
        (4, 3, 2, 1, 2),
    ],
)
def test_the_sizes_of_the_decks(size, kernel, stride, padding, expected):
    assert output_size(size, kernel, stride=stride, padding=padding) == expected


def test_stride_3_does_not_fit_7_with_a_window_of_3():
    exact = exact_output_size(7, 3, stride=3)
    assert exact == pytest.approx(2.33, abs=0.005)
    assert not exact.is_integer()
    assert output_size(7, 3, stride=3) == 2
    assert output_size(7, 3, stride=3, ceil=True) == 3


def test_height_and_width_have_strides_of_their_own():
    # deck 001: padding 1, stride 3 downwards and 2 across
    assert output_size(7, 3, stride=3, padding=1) == 3
    assert output_size(7, 3, stride=2, padding=1) == 4


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), (7, 3)])
def test_the_padding_that_keeps_the_size(kernel, padding):
    assert same_padding(kernel) == padding
    assert output_size(28, kernel, padding=padding) == 28


def test_no_padding_keeps_the_size_under_an_even_kernel():
    with pytest.raises(ValueError, match="a kernel of 4 has no middle; only odd ones"):
        same_padding(4)


def test_a_window_larger_than_the_input_is_an_error():
    with pytest.raises(ValueError, match="a window of 5 does not fit 3 values with padding 0"):
        output_size(3, 3, dilation=2)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.data())
def test_sizes_are_pytorchs(size, kernel, stride, ceil, data):
    padding = data.draw(st.integers(0, kernel // 2))
    assume(size + 2 * padding >= kernel)
    theirs = torch.nn.MaxPool1d(kernel, stride, padding, ceil_mode=ceil)(torch.zeros(1, 1, size))
    ours = output_size(size, kernel, stride=stride, padding=padding, ceil=ceil)
    assert ours == theirs.shape[2]


def test_windows_go_row_by_row():
    seen = [
        np.arange(12).reshape(3, 4)[patch].tolist() for _, patch in windows((2, 2), (2, 2), (1, 2))
    ]
    assert seen == [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[4, 5], [8, 9]], [[6, 7], [10, 11]]]
    assert [place for place, _ in windows((2, 1), (1, 1), (1, 1))] == [(..., 0, 0), (..., 1, 0)]


def test_padding_is_undone_by_cropping():
    image = np.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad(image, (1, 2))
    assert padded.shape == (1, 1, 4, 7)
    assert padded.sum() == image.sum()
    assert np.array_equal(crop(padded, (1, 2)), image)
    assert np.array_equal(crop(image, (0, 0)), image)


def test_one_number_stands_for_all_axes():
    assert per_axis(3, axes=2) == (3, 3)
    assert per_axis((3, 2), axes=2) == (3, 2)
    with pytest.raises(ValueError, match=r"\(3, 2\) has 2 numbers for 1 axes; give one for each"):
        per_axis((3, 2), axes=1)
    assert np.arange(12).reshape(3, 4)[every((2, 3))].tolist() == [[0, 3], [8, 11]]
