"""Convolution: the decks' sums, PyTorch's convolution, and numerical differences."""

import re

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import (
    convolution,
    convolution_backward,
    convolve,
    correlate,
    dilate,
    dilate_backward,
)

IMAGE_6X6 = [
    [0, 0, 0, 0, 0, 0],
    [0, 1, 2, 2, 1, 0],
    [0, 2, 4, 4, 2, 0],
    [0, 1, 3, 3, 1, 0],
    [0, 1, 2, 3, 1, 0],
    [0, 0, 1, 1, 0, 0],
]
LAPLACE = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_6x6_image_of_deck_000():
    # The deck prints 3 for the last number of row 3: a slip, for 3 + 2 + 0 + 1 - 4*1 is 2.
    assert correlate(IMAGE_6X6, LAPLACE).tolist() == [
        [0, -1, -1, 0],
        [-2, -5, -5, -2],
        [2, -2, -1, 2],
        [-1, 0, -5, 0],
    ]


def test_the_6x6_image_with_padding_1():
    # Here too the deck prints 3 where row 4 has its 2 in column 5.
    assert correlate(IMAGE_6X6, LAPLACE, padding=1).tolist() == [
        [0, 1, 2, 2, 1, 0],
        [1, 0, -1, -1, 0, 1],
        [2, -2, -5, -5, -2, 2],
        [1, 2, -2, -1, 2, 1],
        [1, -1, 0, -5, 0, 1],
        [0, 2, -1, 0, 2, 0],
    ]


def test_the_6x6_image_with_stride_2():
    result = correlate(IMAGE_6X6, [[0, 1], [1, -2]], stride=2)
    assert result.tolist() == [[-2, -2, 1], [0, 1, 1], [1, 2, 0]]


def test_the_signal_and_the_image_of_deck_002():
    assert correlate([1, 1, 1, 0, 0], [1, 0, 1]).tolist() == [2, 1, 1]
    image = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    kernel = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert correlate(image, kernel).tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_the_identity_kernel_changes_nothing():
    identity = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert correlate(IMAGE_6X6, identity, padding=1).tolist() == IMAGE_6X6


def test_the_flipped_convolution_is_numpys():
    signal, kernel = [1.0, 5.0, -2.0, 3.0], [1.0, 2.0, -3.0]
    close(convolve(signal, kernel), np.convolve(signal, kernel, mode="valid"))
    close(convolve(signal, kernel, padding=2), np.convolve(signal, kernel, mode="full"))


def test_the_flipped_convolution_draws_the_kernel_at_a_point():
    point = np.zeros((5, 5))
    point[2, 2] = 1
    kernel = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(convolve(point, kernel), kernel)
    assert np.array_equal(correlate(point, kernel), kernel[::-1, ::-1])


def test_the_flipped_convolution_commutes():
    first, second = np.random.default_rng(0).normal(size=(2, 4))
    close(convolve(first, second, padding=3), convolve(second, first, padding=3))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_layer_and_its_gradients_are_pytorchs(in_torch, draw_layer, data):
    images, weights, dilation, options = draw_layer(data)
    bias = np.arange(1.0, 1 + len(weights))
    theirs = F.conv1d if images.ndim == 3 else F.conv2d
    output, slope, (inputs, kernels, biases) = in_torch(
        lambda x, w, b: theirs(x, w, b, dilation=dilation, **options), images, weights, bias
    )
    dilated = dilate(weights, dilation)
    close(convolution(images, dilated, bias, **options), output)
    gradients = convolution_backward(slope, images, dilated, **options)
    close(gradients.inputs, inputs)
    close(dilate_backward(gradients.weights, dilation), kernels)
    close(gradients.bias, biases)


def test_the_gradients_are_the_numerical_ones(numerical):
    numbers = np.random.default_rng(0)
    images, weights = numbers.normal(size=(2, 4, 5, 4)), numbers.normal(size=(4, 2, 3, 2))
    bias, slope = numbers.normal(size=4), numbers.normal(size=(2, 4, 3, 5))
    options = {"stride": (2, 1), "padding": 1, "groups": 2}
    gradients = convolution_backward(slope, images, weights, **options)
    for name, place, array in (
        ("inputs", 0, images),
        ("weights", 1, weights),
        ("bias", 2, bias),
    ):

        def output(value, place=place):
            arrays = [images, weights, bias]
            arrays[place] = value
            return convolution(*arrays, **options)

        expected = numerical(output, array, slope)
        np.testing.assert_allclose(getattr(gradients, name), expected, atol=1e-8)


def test_a_layer_of_one_channel_and_one_kernel_is_a_correlation():
    layer = convolution(np.array([[IMAGE_6X6]], float), np.array([[LAPLACE]], float), padding=1)
    assert np.array_equal(layer[0, 0], correlate(IMAGE_6X6, LAPLACE, padding=1))


def test_a_layer_sums_over_channels_and_stacks_kernels():
    numbers = np.random.default_rng(0)
    images, weights = numbers.normal(size=(1, 3, 5, 5)), numbers.normal(size=(2, 3, 2, 2))
    output = convolution(images, weights)
    for kernel in range(2):
        channels = [correlate(images[0, c], weights[kernel, c]) for c in range(3)]
        close(output[0, kernel], sum(channels))


def test_a_dilated_kernel_has_zeros_between():
    dilated = dilate(np.array([[1.0, 2.0], [3.0, 4.0]]), (2, 3))
    assert dilated.tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]]
    assert dilate_backward(dilated, (2, 3)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("shape", "groups"), [((4, 3, 3, 3), 1), ((3, 2, 3, 3), 2)])
def test_weights_that_do_not_fit_the_channels_are_an_error(shape, groups):
    expected = f"weights of shape {shape} do not fit 4 channels in {groups} groups; their shape is"
    with pytest.raises(ValueError, match=re.escape(expected)):
        convolution(np.zeros((1, 4, 5, 5)), np.zeros(shape), groups=groups)
