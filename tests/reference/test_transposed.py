"""Transposed convolution: the deck's example, the transposed matrix, PyTorch, differences."""

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.reference import (
    as_matrix,
    convolution,
    convolution_backward,
    dilate,
    dilate_backward,
    transposed_convolution,
    transposed_convolution_backward,
    transposed_convolution_by_matrix,
)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_signal_of_deck_001():
    x, y, z, a, b = 2.0, 3.0, 5.0, 7.0, 11.0
    expected = [a * x, a * y, a * z + b * x, b * y, b * z, 0]
    assert (as_matrix([x, y, z], 6, stride=2).T @ [a, b]).tolist() == expected
    signal, kernel = np.array([[[a, b]]]), np.array([[[x, y, z]]])
    for layer in (transposed_convolution, transposed_convolution_by_matrix):
        assert layer(signal, kernel, stride=2, extra=1).tolist() == [[expected]]
        assert layer(signal, kernel, stride=2).tolist() == [[expected[:-1]]]


def test_a_2x2_image_becomes_4x4():
    # deck 001: 3x3 kernel, stride 2, padding 1, the way back from 4x4 -> 2x2
    image, kernel = np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.ones((1, 1, 3, 3))
    output = transposed_convolution(image, kernel, stride=2, padding=1, extra=1)
    assert output[0, 0].tolist() == [[1, 3, 2, 2], [4, 10, 6, 6], [3, 7, 4, 4], [3, 7, 4, 4]]
    assert convolution(output, kernel, stride=2, padding=1).shape == image.shape


def draw_transposed(draw_layer, data):
    """Weights (C, K/G, ...) meet images (N, C, ...): those drawn, seen from the other side."""
    images, weights, dilation, options = draw_layer(data)
    images = np.random.default_rng(1).normal(size=(2, len(weights), *images.shape[2:]))
    several = zip(options["stride"], dilation, strict=True)
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1), label="extra") for s, d in several)
    measures = (
        images.shape[2:],
        weights.shape[2:],
        *(options[name] for name in ("stride", "padding")),
    )
    for w, f, s, p, d, e in zip(*measures, dilation, extra, strict=True):
        assume((w - 1) * s - 2 * p + d * (f - 1) + 1 + e >= 1)
    return images, weights, dilation, options, extra


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_layer_and_its_gradients_are_pytorchs(in_torch, draw_layer, data):
    images, weights, dilation, options, extra = draw_transposed(draw_layer, data)
    bias = np.arange(1.0, 1 + weights.shape[1] * options["groups"])
    theirs = F.conv_transpose1d if images.ndim == 3 else F.conv_transpose2d
    output, slope, (inputs, kernels, biases) = in_torch(
        lambda x, w, b: theirs(x, w, b, dilation=dilation, output_padding=extra, **options),
        images,
        weights,
        bias,
    )
    dilated = dilate(weights, dilation)
    close(transposed_convolution(images, dilated, bias, extra=extra, **options), output)
    gradients = transposed_convolution_backward(slope, images, dilated, **options)
    close(gradients.inputs, inputs)
    close(dilate_backward(gradients.weights, dilation), kernels)
    close(gradients.bias, biases)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_scattering_does_what_the_transposed_matrix_does(draw_layer, data):
    images, weights, dilation, options, extra = draw_transposed(draw_layer, data)
    # There is a convolution the other way only if it loses no more than the rest of a stride.
    assume(all(e < s for e, s in zip(extra, options["stride"], strict=True)))
    dilated = dilate(weights, dilation)
    scattered = transposed_convolution(images, dilated, extra=extra, **options)
    by_matrix = transposed_convolution_by_matrix(images, dilated, extra=extra, **options)
    close(scattered, by_matrix)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_it_is_the_way_in_which_gradients_go_back(draw_layer, data):
    images, weights, _, options = draw_layer(data)
    output = convolution(images, weights, **options)
    slope = np.random.default_rng(2).normal(size=output.shape)
    back = convolution_backward(slope, images, weights, **options).inputs
    measures = (output.shape[2:], weights.shape[2:], options["stride"], options["padding"])
    smallest = [(w - 1) * s + f - 2 * p for w, f, s, p in zip(*measures, strict=True)]
    extra = tuple(w - v for w, v in zip(images.shape[2:], smallest, strict=True))
    close(transposed_convolution(slope, weights, extra=extra, **options), back)


def test_the_gradients_are_the_numerical_ones(numerical):
    numbers = np.random.default_rng(0)
    images, weights = numbers.normal(size=(2, 4, 2, 3)), numbers.normal(size=(4, 1, 3, 2))
    options = {"stride": (2, 1), "padding": (1, 0), "groups": 2}
    slope = numbers.normal(size=transposed_convolution(images, weights, **options).shape)
    gradients = transposed_convolution_backward(slope, images, weights, **options)
    inputs = numerical(lambda x: transposed_convolution(x, weights, **options), images, slope)
    kernels = numerical(lambda w: transposed_convolution(images, w, **options), weights, slope)
    bias = numerical(
        lambda b: transposed_convolution(images, weights, b, **options), np.zeros(2), slope
    )
    for ours, expected in zip(gradients, (inputs, kernels, bias), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_padding_that_leaves_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"the output would have the sizes \(2, 0\)"):
        transposed_convolution(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 1, 1)), padding=(0, 1))


def test_weights_of_other_channels_are_an_error():
    with pytest.raises(ValueError, match=r"weights of shape \(3, 1, 2, 2\) do not fit 4 channels"):
        transposed_convolution(np.zeros((1, 4, 2, 2)), np.zeros((3, 1, 2, 2)))
