"""Pooling: the deck's example, PyTorch's layers, and numerical differences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.reference import (
    average_pool,
    average_pool_backward,
    global_average,
    global_average_backward,
    l2_pool,
    l2_pool_backward,
    max_pool,
    max_pool_backward,
)

DECK_001 = np.array([[[[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]]], float)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_max_pooling_of_deck_001():
    maxima, positions = max_pool(DECK_001, 2)
    assert maxima[0, 0].tolist() == [[5, 6], [7, 8]]
    assert positions[0, 0].tolist() == [[5, 2], [12, 15]]  # row * 4 + column


def test_average_and_l2_pooling():
    assert average_pool(DECK_001, 2)[0, 0].tolist() == [[2.75, 3], [3.25, 3.75]]
    squares = [[1 + 4 + 9 + 25, 36 + 9 + 4 + 1], [1 + 4 + 49 + 9, 4 + 1 + 16 + 64]]
    close(l2_pool(DECK_001, 2)[0, 0], np.sqrt(squares))
    assert l2_pool(np.array([[[3.0, 4.0, 0.0, 2.0]]]), 2).tolist() == [[[5, 2]]]


def test_windows_overlap_where_the_stride_is_less_than_the_size():
    image = np.arange(25.0).reshape(1, 1, 5, 5)
    assert max_pool(image, 3, stride=2)[0][0, 0].tolist() == [[12, 14], [22, 24]]


def test_the_first_of_equals_is_the_maximum():
    assert max_pool(np.zeros((1, 1, 2, 2)), 2)[1].tolist() == [[[[0]]]]


def test_the_maximum_of_many_windows_gets_all_their_gradients():
    image = np.zeros((1, 1, 3, 3))
    image[0, 0, 1, 1] = 1
    _, positions = max_pool(image, 2, stride=1)
    gradient = max_pool_backward(np.ones((1, 1, 2, 2)), positions, image)
    assert gradient[0, 0].tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]


@st.composite
def poolings(draw, least_axes=1):
    axes = draw(st.integers(least_axes, 2))
    sizes = draw(st.tuples(*[st.integers(1, 7)] * axes))
    size = draw(st.tuples(*[st.integers(1, 3)] * axes))
    stride = draw(st.tuples(*[st.integers(1, 3)] * axes))
    padding = draw(st.tuples(*[st.integers(0, f // 2) for f in size]))
    assume(all(w + 2 * p >= f for w, p, f in zip(sizes, padding, size, strict=True)))
    images = np.random.default_rng(draw(st.integers(0, 9))).normal(size=(2, 2, *sizes))
    return images, size, {"stride": stride, "padding": padding, "ceil": draw(st.booleans())}


def without_ceil(options):
    return {name: value for name, value in options.items() if name != "ceil"}


@settings(deadline=None, max_examples=60)
@given(poolings())
def test_max_pooling_is_pytorchs(in_torch, pooling):
    images, size, options = pooling
    pool = F.max_pool1d if images.ndim == 3 else F.max_pool2d
    theirs = {**without_ceil(options), "ceil_mode": options["ceil"]}
    output, slope, (inputs,) = in_torch(lambda x: pool(x, size, **theirs), images)
    maxima, positions = max_pool(images, size, **options)
    close(maxima, output)
    close(max_pool_backward(slope, positions, images), inputs)
    _, numbers = pool(torch.tensor(images), size, return_indices=True, **theirs)
    assert positions.tolist() == numbers.tolist()


@settings(deadline=None, max_examples=60)
@given(poolings())
def test_average_pooling_is_pytorchs(in_torch, pooling):
    images, size, options = pooling
    pool = F.avg_pool1d if images.ndim == 3 else F.avg_pool2d
    theirs = {**without_ceil(options), "ceil_mode": options["ceil"]}
    output, slope, (inputs,) = in_torch(lambda x: pool(x, size, **theirs), images)
    close(average_pool(images, size, **options), output)
    close(average_pool_backward(slope, images, size, **without_ceil(options)), inputs)


@settings(deadline=None, max_examples=60)
@given(poolings(least_axes=2))
def test_l2_pooling_is_the_root_of_pytorchs_sum_of_squares(in_torch, pooling):
    images, size, options = pooling

    def pool(x):
        return F.avg_pool2d(x * x, size, *options.values(), divisor_override=1).sqrt()

    output, slope, (inputs,) = in_torch(pool, images)
    close(l2_pool(images, size, **options), output)
    close(l2_pool_backward(slope, images, size, **without_ceil(options)), inputs)


def test_l2_pooling_of_zeros_has_the_gradient_0():
    images = np.zeros((1, 1, 2, 2))
    assert l2_pool(images, 2).tolist() == [[[[0]]]]
    assert not l2_pool_backward(np.ones((1, 1, 1, 1)), images, 2).any()


def test_the_global_average_is_pytorchs(in_torch):
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    output, slope, (inputs,) = in_torch(lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0], images)
    close(global_average(images), output)
    close(global_average_backward(slope, images), inputs)


def test_the_gradients_are_the_numerical_ones(numerical):
    images = np.random.default_rng(0).normal(size=(2, 2, 5, 4))
    slope = np.random.default_rng(1).normal(size=(2, 2, 3, 3))
    options = {"stride": 2, "padding": 1}
    _, positions = max_pool(images, 3, ceil=True, **options)
    gradients = {
        "max": (max_pool_backward(slope, positions, images), lambda *a, **k: max_pool(*a, **k)[0]),
        "average": (average_pool_backward(slope, images, 3, **options), average_pool),
        "l2": (l2_pool_backward(slope, images, 3, **options), l2_pool),
    }
    for found, pool in gradients.values():
        expected = numerical(lambda x, p=pool: p(x, 3, ceil=True, **options), images, slope)
        np.testing.assert_allclose(found, expected, atol=1e-8)
    flat = slope[:, :, 0, 0]
    expected = numerical(global_average, images, flat)
    np.testing.assert_allclose(global_average_backward(flat, images), expected, atol=1e-8)


@pytest.mark.parametrize("pool", [max_pool, average_pool, l2_pool])
def test_a_window_wholly_in_the_padding_is_an_error(pool):
    with pytest.raises(ValueError, match=r"the padding, \(2, 2\), is more than half the window"):
        pool(DECK_001, 3, padding=2)
