"""Unpooling: the deck's examples, PyTorch, and numerical differences."""

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import (
    max_pool,
    max_pool_backward,
    max_unpool,
    max_unpool_backward,
    nails,
    nails_backward,
    nearest,
    nearest_backward,
)

DECK_001 = np.array([[[[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]]], float)
SMALL = np.array([[[[1, 2], [3, 4]]]], float)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_max_unpooling_of_deck_001():
    _, positions = max_pool(DECK_001, 2)
    unpooled = max_unpool(SMALL, positions, (4, 4))
    assert unpooled[0, 0].tolist() == [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]


def test_nearest_and_nails_of_deck_001():
    assert nearest(SMALL, 2)[0, 0].tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    assert nails(SMALL, 2)[0, 0].tolist() == [
        [1, 0, 2, 0],
        [0, 0, 0, 0],
        [3, 0, 4, 0],
        [0, 0, 0, 0],
    ]


def test_max_unpooling_goes_the_way_of_the_pooled_gradient():
    maxima, positions = max_pool(DECK_001, 2)
    unpooled = max_unpool(maxima, positions, (4, 4))
    assert np.array_equal(unpooled, max_pool_backward(maxima, positions, DECK_001))
    assert np.array_equal(max_pool(unpooled, 2)[0], maxima)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7))
def test_max_unpooling_is_pytorchs(in_torch, size, height, width):
    height, width = max(size, height), max(size, width)
    images = np.random.default_rng(0).normal(size=(2, 3, height, width))
    maxima, positions = max_pool(images, size)
    output, slope, (inputs,) = in_torch(
        lambda x: F.max_unpool2d(x, torch.tensor(positions), size, output_size=(height, width)),
        maxima,
    )
    close(max_unpool(maxima, positions, (height, width)), output)
    close(max_unpool_backward(slope, positions), inputs)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_nearest_is_pytorchs(in_torch, down, across, height, width):
    images = np.random.default_rng(0).normal(size=(2, 3, height, width))
    output, slope, (inputs,) = in_torch(
        lambda x: F.interpolate(x, scale_factor=(down, across), mode="nearest"), images
    )
    close(nearest(images, (down, across)), output)
    close(nearest_backward(slope, (down, across)), inputs)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_nails_are_a_transposed_convolution_in_pytorch(in_torch, down, across, height, width):
    images = np.random.default_rng(0).normal(size=(2, 1, height, width))
    nail = torch.zeros(1, 1, down, across, dtype=torch.float64)
    nail[0, 0, 0, 0] = 1
    output, slope, (inputs,) = in_torch(
        lambda x: F.conv_transpose2d(x, nail, stride=(down, across)), images
    )
    close(nails(images, (down, across)), output)
    close(nails_backward(slope, (down, across)), inputs)


def test_signals_are_unpooled_too():
    signal = np.array([[[3.0, 1.0, 2.0, 5.0]]])
    maxima, positions = max_pool(signal, 2)
    assert max_unpool(maxima, positions, (4,)).tolist() == [[[3, 0, 0, 5]]]
    assert nearest(maxima, 2).tolist() == [[[3, 3, 5, 5]]]
    assert nails(maxima, 2).tolist() == [[[3, 0, 5, 0]]]


def test_the_gradients_are_the_numerical_ones(numerical):
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(2, 2, 4, 6))
    maxima, positions = max_pool(images, 2)
    slope = numbers.normal(size=images.shape)
    ways = [
        (lambda x: max_unpool(x, positions, (4, 6)), max_unpool_backward(slope, positions)),
        (lambda x: nearest(x, 2), nearest_backward(slope, 2)),
        (lambda x: nails(x, 2), nails_backward(slope, 2)),
    ]
    for unpool, found in ways:
        np.testing.assert_allclose(found, numerical(unpool, maxima, slope), atol=1e-8)


def test_values_of_overlapping_windows_are_added_up(numerical):
    image = np.zeros((1, 1, 3, 3))
    image[0, 0, 1, 1] = 1
    _, positions = max_pool(image, 2, stride=1)
    values = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    unpooled = max_unpool(values, positions, (3, 3))
    assert unpooled[0, 0].tolist() == [[0, 0, 0], [0, 10, 0], [0, 0, 0]]
    slope = np.arange(9.0).reshape(1, 1, 3, 3)
    expected = numerical(lambda x: max_unpool(x, positions, (3, 3)), values, slope)
    np.testing.assert_allclose(max_unpool_backward(slope, positions), expected, atol=1e-8)
