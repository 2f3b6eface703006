"""Batch and layer normalisation: each channel, or each image, gets mean 0 and variance 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from striate.reference.arrays import Array, by_channel, sum_by_channel


class Statistics(NamedTuple):
    """The mean and the variance of each channel.

    Attributes:
        mean: (C,).
        variance: (C,).
    """

    mean: Array
    variance: Array


class NormGradients(NamedTuple):
    """The gradients of the loss for a normalisation.

    Attributes:
        inputs: For its input.
        scale: For gamma, (C,).
        shift: For beta, (C,).
    """

    inputs: Array
    scale: Array
    shift: Array


def batch_norm_training(
    images: Array,
    scale: Array,
    shift: Array,
    running: Statistics,
    *,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[Array, Statistics]:
    """Batch normalisation while training: with the mean and variance of this batch.

    Args:
        images: (N, C, H, W), or (N, C, L), or (N, C).
        scale: gamma, (C,).
        shift: beta, (C,).
        running: The statistics so far; mean 0 and variance 1 at the start.
        momentum: The part of this batch in the running statistics.
        epsilon: Added to the variance.

    Returns:
        gamma (x - mean)/sqrt(variance + epsilon) + beta, and the running statistics for the test.

    Raises:
        ValueError: If a channel has a single value: it has no variance.
    """
    count = images.size // images.shape[1]  # N*H*W
    if count < 2:
        raise ValueError("a channel of one value has no variance; give more images")
    batch = batch_statistics(images)
    outputs = batch_norm_testing(images, scale, shift, batch, epsilon=epsilon)
    # The batch's variance is around its own mean, so it is a little too small for all images.
    unbiased = batch.variance * count / (count - 1)
    return outputs, Statistics(
        mean=(1 - momentum) * running.mean + momentum * batch.mean,
        variance=(1 - momentum) * running.variance + momentum * unbiased,
    )


def batch_norm_testing(
    images: Array, scale: Array, shift: Array, running: Statistics, *, epsilon: float = 1e-5
) -> Array:
    """Batch normalisation in a test: with the statistics that training has gathered.

    An image's output does not depend on the others beside it. Arguments as while training.
    """
    centred = images - by_channel(running.mean, images)
    normalised = centred / by_channel(np.sqrt(running.variance + epsilon), images)
    return by_channel(scale, images) * normalised + by_channel(shift, images)


def batch_statistics(images: Array) -> Statistics:
    """Mean and variance of each channel over all images and positions."""
    axes = (0, *range(2, images.ndim))
    return Statistics(mean=images.mean(axis=axes), variance=images.var(axis=axes))


def batch_norm_training_backward(
    output_gradient: Array, images: Array, scale: Array, *, epsilon: float = 1e-5
) -> NormGradients:
    """The gradients while training, where mean and variance depend on every image of the batch.

    With x^ the normalised input: dL/dx = gamma/sqrt(variance + epsilon) times what is left of dL/dy
    without its mean and without its part along x^.
    """
    one, none = np.ones(scale.shape), np.zeros(scale.shape)
    batch = batch_statistics(images)
    normalised = batch_norm_testing(images, one, none, batch, epsilon=epsilon)  # (N, C, H, W)
    along = batch_statistics(output_gradient * normalised).mean  # (C,)
    rest = output_gradient - by_channel(batch_statistics(output_gradient).mean, images)
    rest = rest - normalised * by_channel(along, images)
    return NormGradients(
        inputs=by_channel(scale / np.sqrt(batch.variance + epsilon), images) * rest,
        scale=sum_by_channel(output_gradient * normalised),
        shift=sum_by_channel(output_gradient),
    )


def batch_norm_testing_backward(
    output_gradient: Array,
    images: Array,
    scale: Array,
    running: Statistics,
    *,
    epsilon: float = 1e-5,
) -> NormGradients:
    """The gradients in a test, where mean and variance are constants."""
    deviation = by_channel(np.sqrt(running.variance + epsilon), images)
    normalised = (images - by_channel(running.mean, images)) / deviation
    return NormGradients(
        inputs=output_gradient * by_channel(scale, images) / deviation,
        scale=sum_by_channel(output_gradient * normalised),
        shift=sum_by_channel(output_gradient),
    )


def layer_norm(images: Array, scale: Array, shift: Array, *, epsilon: float = 1e-5) -> Array:
    """Layer normalisation: each image over all its values, then gamma and beta by channel.

    Nothing depends on the batch, so training and test do the same.

    Args:
        images: (N, C, H, W), or (N, C, L), or (N, C).
        scale: gamma, (C,).
        shift: beta, (C,).
        epsilon: Added to the variance.
    """
    normalised = (images - _mean(images)) / _deviation(images, epsilon)
    return by_channel(scale, images) * normalised + by_channel(shift, images)


def layer_norm_backward(
    output_gradient: Array, images: Array, scale: Array, *, epsilon: float = 1e-5
) -> NormGradients:
    """As for batch normalisation, but image by image; gamma stands inside, for it has C values."""
    deviation = _deviation(images, epsilon)  # (N, 1, 1, 1)
    normalised = (images - _mean(images)) / deviation  # (N, C, H, W)
    scaled = output_gradient * by_channel(scale, images)
    rest = scaled - _mean(scaled) - normalised * _mean(scaled * normalised)
    return NormGradients(
        inputs=rest / deviation,
        scale=sum_by_channel(output_gradient * normalised),
        shift=sum_by_channel(output_gradient),
    )


def _mean(images: Array) -> Array:
    """The mean of each image: (N, C, H, W) -> (N, 1, 1, 1)."""
    mean: Array = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return mean


def _deviation(images: Array, epsilon: float) -> Array:
    """sqrt(variance + epsilon) of each image: (N, 1, 1, 1)."""
    variance: Array = images.var(axis=tuple(range(1, images.ndim)), keepdims=True)
    return np.sqrt(variance + epsilon)
