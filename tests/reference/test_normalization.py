"""Batch and layer normalisation: what they promise, PyTorch, numerical differences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import (
    Statistics,
    batch_norm_testing,
    batch_norm_testing_backward,
    batch_norm_training,
    batch_norm_training_backward,
    layer_norm,
    layer_norm_backward,
)

START = Statistics(mean=np.zeros(3), variance=np.ones(3))
SHAPES = st.sampled_from([(4, 3), (2, 3, 5), (2, 3, 4, 2), (1, 3, 2, 2)])


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def draw_numbers(shape):
    numbers = np.random.default_rng(3)
    return numbers.normal(2, 3, size=shape), numbers.normal(size=3), numbers.normal(size=3)


def test_training_gives_each_channel_mean_0_and_variance_1():
    images, _, _ = draw_numbers((5, 3, 4, 4))
    outputs, _ = batch_norm_training(images, np.ones(3), np.zeros(3), START, epsilon=0)
    close(outputs.mean(axis=(0, 2, 3)), np.zeros(3))
    close(outputs.var(axis=(0, 2, 3)), np.ones(3))


def test_in_a_test_an_image_does_not_depend_on_those_beside_it():
    images, scale, shift = draw_numbers((5, 3, 4, 4))
    _, running = batch_norm_training(images, scale, shift, START)
    together = batch_norm_testing(images, scale, shift, running)
    alone = batch_norm_testing(images[:1], scale, shift, running)
    assert np.array_equal(together[:1], alone)
    trained, _ = batch_norm_training(images, scale, shift, START)
    fewer, _ = batch_norm_training(images[:1], scale, shift, START)
    assert not np.allclose(trained[:1], fewer)


def test_the_running_statistics_come_to_those_of_the_images():
    images, scale, shift = draw_numbers((50, 3))
    running = START
    for _ in range(300):
        _, running = batch_norm_training(images, scale, shift, running)
    close(running.mean, images.mean(axis=0))
    close(running.variance, images.var(axis=0, ddof=1))


def test_a_channel_of_one_value_cannot_be_normalised():
    with pytest.raises(ValueError, match="a channel of one value has no variance"):
        batch_norm_training(np.ones((1, 3)), np.ones(3), np.zeros(3), START)


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.sampled_from([0.1, 0.6]), st.sampled_from([1e-5, 1e-2]))
def test_training_is_pytorchs(in_torch, shape, momentum, epsilon):
    images, scale, shift = draw_numbers(shape)
    before = Statistics(mean=np.arange(3.0), variance=np.arange(1.0, 4.0))
    mean, variance = torch.tensor(before.mean), torch.tensor(before.variance)
    output, slope, theirs = in_torch(
        lambda x, w, b: F.batch_norm(
            x, mean, variance, w, b, training=True, momentum=momentum, eps=epsilon
        ),
        images,
        scale,
        shift,
    )
    ours, running = batch_norm_training(
        images, scale, shift, before, momentum=momentum, epsilon=epsilon
    )
    close(ours, output)
    close(running.mean, mean.numpy())
    close(running.variance, variance.numpy())
    found = batch_norm_training_backward(slope, images, scale, epsilon=epsilon)
    for gradient, expected in zip(found, theirs, strict=True):
        close(gradient, expected)


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.sampled_from([1e-5, 1e-2]))
def test_testing_is_pytorchs(in_torch, shape, epsilon):
    images, scale, shift = draw_numbers(shape)
    running = Statistics(mean=np.arange(3.0), variance=np.arange(1.0, 4.0))
    statistics = torch.tensor(running.mean), torch.tensor(running.variance)
    output, slope, theirs = in_torch(
        lambda x, w, b: F.batch_norm(x, *statistics, w, b, eps=epsilon), images, scale, shift
    )
    close(batch_norm_testing(images, scale, shift, running, epsilon=epsilon), output)
    found = batch_norm_testing_backward(slope, images, scale, running, epsilon=epsilon)
    for gradient, expected in zip(found, theirs, strict=True):
        close(gradient, expected)


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.sampled_from([1e-5, 1e-2]))
def test_layer_norm_is_pytorchs_group_norm_with_one_group(in_torch, shape, epsilon):
    images, scale, shift = draw_numbers(shape)
    output, slope, theirs = in_torch(
        lambda x, w, b: F.group_norm(x, 1, w, b, eps=epsilon), images, scale, shift
    )
    close(layer_norm(images, scale, shift, epsilon=epsilon), output)
    found = layer_norm_backward(slope, images, scale, epsilon=epsilon)
    for gradient, expected in zip(found, theirs, strict=True):
        close(gradient, expected)


def test_the_gradients_are_the_numerical_ones(numerical):
    images, scale, shift = draw_numbers((2, 3, 2, 2))
    slope = np.random.default_rng(1).normal(size=images.shape)
    running = Statistics(mean=np.arange(3.0), variance=np.arange(1.0, 4.0))
    modes = [
        (
            lambda x, w, b: batch_norm_training(x, w, b, START)[0],
            batch_norm_training_backward(slope, images, scale),
        ),
        (
            lambda x, w, b: batch_norm_testing(x, w, b, running),
            batch_norm_testing_backward(slope, images, scale, running),
        ),
        (layer_norm, layer_norm_backward(slope, images, scale)),
    ]
    for normalise, found in modes:
        expected = [
            numerical(lambda x, f=normalise: f(x, scale, shift), images, slope),
            numerical(lambda w, f=normalise: f(images, w, shift), scale, slope),
            numerical(lambda b, f=normalise: f(images, scale, b), shift, slope),
        ]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-7)
