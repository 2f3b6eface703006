"""Fully and locally connected layers: PyTorch, the convolution, numerical differences."""

import re

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import (
    convolution,
    convolution_backward,
    dilate,
    flatten,
    flatten_backward,
    fully_connected,
    fully_connected_backward,
    layer_matrix,
    local_weights,
    locally_connected,
    locally_connected_backward,
)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_the_full_layer_is_pytorchs(in_torch, count, channels, side, units):
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(count, channels, side, side))
    weights, bias = numbers.normal(size=(units, channels * side**2)), numbers.normal(size=units)
    output, slope, theirs = in_torch(
        lambda x, w, b: F.linear(x.flatten(1), w, b), images, weights, bias
    )
    close(fully_connected(images, weights, bias), output)
    close(fully_connected(images, weights), output - bias)
    for ours, expected in zip(
        fully_connected_backward(slope, images, weights), theirs, strict=True
    ):
        close(ours, expected)


def test_flattening_goes_channel_by_channel():
    images = np.arange(8.0).reshape(1, 2, 2, 2)
    assert flatten(images).tolist() == [list(range(8))]
    assert np.array_equal(flatten_backward(flatten(images), images), images)


def test_a_convolution_is_a_full_layer_with_its_matrix():
    numbers = np.random.default_rng(0)
    images, weights = numbers.normal(size=(2, 3, 5, 5)), numbers.normal(size=(4, 3, 3, 3))
    matrix = layer_matrix(weights, (5, 5), stride=2, padding=1)
    close(
        fully_connected(images, matrix), flatten(convolution(images, weights, stride=2, padding=1))
    )


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_same_weights_everywhere_are_a_convolution(draw_layer, data):
    images, weights, dilation, options = draw_layer(data)
    weights, bias = dilate(weights, dilation), np.arange(1.0, 1 + len(weights))
    output = convolution(images, weights, bias, **options)
    places = output.shape[2:]
    everywhere = np.broadcast_to(
        weights.reshape(*weights.shape, *[1] * len(places)), (*weights.shape, *places)
    )
    biases = np.broadcast_to(bias.reshape(-1, *[1] * len(places)), output.shape[1:])
    close(locally_connected(images, everywhere, biases, **options), output)
    slope = np.random.default_rng(1).normal(size=output.shape)
    shared = convolution_backward(slope, images, weights, **options)
    local = locally_connected_backward(slope, images, everywhere, **options)
    # Sharing a weight adds up the gradients of all its places.
    over_places = tuple(range(-len(places), 0))
    close(local.inputs, shared.inputs)
    close(local.weights.sum(axis=over_places), shared.weights)
    close(local.bias.sum(axis=over_places), shared.bias)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2), st.integers(0, 1), st.integers(3, 5))
def test_the_local_layer_is_unfolded_pytorch(in_torch, stride, padding, side):
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(2, 3, side, side))
    places = (side + 2 * padding - 3) // stride + 1
    weights = numbers.normal(size=(4, 3, 3, 3, places, places))
    bias = numbers.normal(size=(4, places, places))

    def theirs(x, w, b):
        columns = F.unfold(x, 3, stride=stride, padding=padding)  # (N, C*F*F, P)
        products = (columns[:, None] * w.flatten(4).flatten(1, 3)).sum(2)
        return products.unflatten(2, (places, places)) + b

    output, slope, gradients = in_torch(theirs, images, weights, bias)
    options = {"stride": stride, "padding": padding}
    close(locally_connected(images, weights, bias, **options), output)
    found = locally_connected_backward(slope, images, weights, **options)
    for ours, expected in zip(found, gradients, strict=True):
        close(ours, expected)


def test_a_local_layer_has_the_weights_of_the_formula():
    weights = np.zeros((4, 3, 3, 2, 5, 6))  # K, C, F, F, Ho, Wo
    assert weights.size == local_weights((3, 2), 3, 4 * 5 * 6, bias=False)


def test_the_gradients_are_the_numerical_ones(numerical):
    numbers = np.random.default_rng(0)
    images, slope = numbers.normal(size=(2, 2, 4, 3)), numbers.normal(size=(2, 2, 2, 3))
    weights, bias = numbers.normal(size=(2, 1, 2, 3, 2, 3)), numbers.normal(size=(2, 2, 3))
    options = {"stride": (2, 1), "padding": (0, 1), "groups": 2}
    found = locally_connected_backward(slope, images, weights, **options)
    expected = [
        numerical(lambda x: locally_connected(x, weights, bias, **options), images, slope),
        numerical(lambda w: locally_connected(images, w, bias, **options), weights, slope),
        numerical(lambda b: locally_connected(images, weights, b, **options), bias, slope),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_the_full_layers_gradients_are_the_numerical_ones(numerical):
    numbers = np.random.default_rng(0)
    images, slope = numbers.normal(size=(2, 2, 2, 3)), numbers.normal(size=(2, 4))
    weights, bias = numbers.normal(size=(4, 12)), numbers.normal(size=4)
    found = fully_connected_backward(slope, images, weights)
    expected = [
        numerical(lambda x: fully_connected(x, weights, bias), images, slope),
        numerical(lambda w: fully_connected(images, w, bias), weights, slope),
        numerical(lambda b: fully_connected(images, weights, b), bias, slope),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_weights_that_do_not_fit_the_channels_are_an_error():
    expected = "weights of shape (2, 3, 1, 1, 4, 4) do not fit 4 channels in 1 groups"
    with pytest.raises(ValueError, match=re.escape(expected)):
        locally_connected(np.zeros((1, 4, 4, 4)), np.zeros((2, 3, 1, 1, 4, 4)))
