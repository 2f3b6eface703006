"""The convolution as a matrix: the decks' matrices, their counts of weights, and the loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import (
    as_matrix,
    convolution,
    convolution_by_matrix,
    convolve,
    correlate,
    dilate,
    full_weights,
    layer_matrix,
)
from striate.reference.matrix import ungroup


@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_weights_of_deck_002_full_local_and_shared(n):
    matrix = as_matrix([2, 3, 5], n, padding=1)  # (n, n)
    assert matrix.size == full_weights(n, n, bias=False) == n**2
    assert np.count_nonzero(matrix) == 3 * n - 2
    assert len(np.unique(matrix[matrix != 0])) == 3


def test_the_banded_matrix_of_deck_002():
    assert as_matrix([10, 11, 12], 5, padding=1).tolist() == [
        [11, 12, 0, 0, 0],
        [10, 11, 12, 0, 0],
        [0, 10, 11, 12, 0],
        [0, 0, 10, 11, 12],
        [0, 0, 0, 10, 11],
    ]


def test_the_matrix_of_deck_001_with_stride_2():
    x, y, z = 2, 3, 5
    padded = [[x, y, z, 0, 0, 0], [0, 0, x, y, z, 0]]  # as the deck draws it, with the padding
    assert as_matrix([x, y, z], 6, stride=2).tolist() == padded
    matrix = as_matrix([x, y, z], 4, stride=2, padding=1)
    assert matrix.tolist() == [row[1:-1] for row in padded]
    a, b, c, d = 7, 11, 13, 17
    assert (matrix @ [a, b, c, d]).tolist() == [a * y + b * z, b * x + c * y + d * z]


def test_in_two_dimensions_the_bands_are_banded():
    matrix = as_matrix([[1, 2], [3, 4]], (3, 3))
    assert matrix.tolist() == [
        [1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4],
    ]


def test_the_matrix_turned_round_is_that_of_the_flipped_convolution():
    image, kernel = np.random.default_rng(0).normal(size=(2, 3, 3))
    matrix = as_matrix(np.flip(kernel), (3, 3), padding=2)
    np.testing.assert_allclose(matrix @ image.ravel(), convolve(image, kernel, padding=2).ravel())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_matrix_does_what_the_loops_do(draw_layer, data):
    images, weights, dilation, options = draw_layer(data)
    dilated = dilate(weights, dilation)
    by_loops = convolution(images, dilated, **options)
    by_matrix = convolution_by_matrix(images, dilated, **options)
    np.testing.assert_allclose(by_matrix, by_loops, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_one_kernels_matrix_does_what_correlate_does(draw_layer, data):
    images, weights, _, options = draw_layer(data)
    image, kernel = images[0, 0], weights[0, 0]
    steps = {"stride": options["stride"], "padding": options["padding"]}
    by_matrix = as_matrix(kernel, image.shape, **steps) @ image.ravel()
    by_loops = correlate(image, kernel, **steps)
    np.testing.assert_allclose(by_matrix, by_loops.ravel(), rtol=1e-10, atol=1e-10)


def test_groups_are_blocks_of_zeros():
    weights = np.ones((4, 1, 1, 1))
    assert layer_matrix(weights, (1, 1), groups=2).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert ungroup(weights, 2)[:, :, 0, 0].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
