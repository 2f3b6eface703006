"""Pooling: each window gives its maximum, its average, or its length (L2)."""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import Array, Positions, Sizes, crop, pad, per_axis
from striate.reference.windows import output_sizes, windows

Axes = tuple[int, ...]


def max_pool(
    images: Array,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil: bool = False,
) -> tuple[Array, Positions]:
    """The maximum of each window, and where it stood; of equals the first.

    Args:
        images: (N, C, H, W), or signals (N, C, L).
        size: Height and width of the window. Pooling overlaps where the stride is less.
        stride: How far the window moves; by default its size.
        padding: How far the window may reach over each side. What is there is never the maximum.
        ceil: Round the output size up.

    Returns:
        The maxima (N, C, Ho, Wo), and their positions in the same shape: the number of the pixel in
        reading order, h*W + w.
    """
    size, stride, padding = _settings(images, size, stride, padding)
    shape = output_sizes(images.shape[2:], size, stride, padding, ceil=ceil)
    padded = pad(images, padding, value=-np.inf)  # (N, C, H + 2P, W + 2P)
    numbers = pad(_numbers(images.shape[2:]), padding)  # (H + 2P, W + 2P)
    maxima = np.zeros((*images.shape[:2], *shape))  # (N, C, Ho, Wo)
    positions = np.zeros(maxima.shape, dtype=np.int64)
    for place, patch in windows(shape, size, stride):
        values = padded[patch].reshape(*images.shape[:2], -1)  # (N, C, F*F)
        maxima[place] = values.max(axis=2)
        positions[place] = numbers[patch].ravel()[values.argmax(axis=2)]
    return maxima, positions


def max_pool_backward(output_gradient: Array, positions: Positions, images: Array) -> Array:
    """The whole gradient of a window goes to where its maximum stood.

    Where windows overlap, one pixel can be the maximum of several: it gets the sum.
    """
    gradient = np.zeros((*images.shape[:2], int(np.prod(images.shape[2:]))))  # (N, C, H*W)
    for n, c, *place in np.ndindex(*positions.shape):
        gradient[n, c, positions[n, c, *place]] += output_gradient[n, c, *place]
    return gradient.reshape(images.shape)


def average_pool(
    images: Array,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil: bool = False,
) -> Array:
    """The average of each window, padding counted as zeros. Arguments as for `max_pool`.

    A window that reaches over the end of the padding, with `ceil`, is divided by what it covers.
    """
    size, stride, padding = _settings(images, size, stride, padding)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    shape = output_sizes(images.shape[2:], size, stride, padding, ceil=ceil)
    outputs = np.zeros((*images.shape[:2], *shape))  # (N, C, Ho, Wo)
    for place, patch in windows(shape, size, stride):
        outputs[place] = padded[patch].mean(axis=_places(images))
    return outputs


def average_pool_backward(
    output_gradient: Array,
    images: Array,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
) -> Array:
    """The gradient of a window is shared equally by all that it covers."""
    size, stride, padding = _settings(images, size, stride, padding)
    padded_gradient = np.zeros(pad(images, padding).shape)  # (N, C, H + 2P, W + 2P)
    for place, patch in windows(output_gradient.shape[2:], size, stride):
        covered = int(np.prod(padded_gradient[patch].shape[2:]))
        padded_gradient[patch] += _spread(output_gradient[place], images) / covered
    return crop(padded_gradient, padding)


def l2_pool(
    images: Array,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil: bool = False,
) -> Array:
    """The root of the sum of the squares in each window. Arguments as for `max_pool`."""
    size, stride, padding = _settings(images, size, stride, padding)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    shape = output_sizes(images.shape[2:], size, stride, padding, ceil=ceil)
    outputs = np.zeros((*images.shape[:2], *shape))  # (N, C, Ho, Wo)
    for place, patch in windows(shape, size, stride):
        outputs[place] = np.sqrt((padded[patch] ** 2).sum(axis=_places(images)))
    return outputs


def l2_pool_backward(
    output_gradient: Array,
    images: Array,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
) -> Array:
    """Each value gets its share of the length, x / |window|; 0 where the whole window is 0."""
    size, stride, padding = _settings(images, size, stride, padding)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    padded_gradient = np.zeros(padded.shape)
    for place, patch in windows(output_gradient.shape[2:], size, stride):
        length = np.sqrt((padded[patch] ** 2).sum(axis=_places(images)))  # (N, C)
        slope = np.divide(
            output_gradient[place], length, out=np.zeros(length.shape), where=length > 0
        )
        padded_gradient[patch] += padded[patch] * _spread(slope, images)
    return crop(padded_gradient, padding)


def global_average(images: Array) -> Array:
    """The average over all positions: (N, C, H, W) -> (N, C)."""
    average: Array = images.mean(axis=_places(images))
    return average


def global_average_backward(output_gradient: Array, images: Array) -> Array:
    """The gradient is shared equally by all positions: (N, C) -> (N, C, H, W)."""
    return np.ones(images.shape) * _spread(output_gradient, images) / np.prod(images.shape[2:])


def _settings(
    images: Array, size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[Axes, Axes, Axes]:
    """All as one number an axis.

    Raises:
        ValueError: If a window could lie wholly in the padding.
    """
    axes = images.ndim - 2
    sizes, paddings = per_axis(size, axes), per_axis(padding, axes)
    if any(2 * p > f for p, f in zip(paddings, sizes, strict=True)):
        raise ValueError(f"the padding, {paddings}, is more than half the window, {sizes}")
    return sizes, sizes if stride is None else per_axis(stride, axes), paddings


def _numbers(sizes: Axes) -> Positions:
    """Every pixel's number in reading order: (H, W)."""
    return np.arange(np.prod(sizes)).reshape(sizes)


def _places(images: Array) -> Axes:
    """The axes after images and channels: (2, 3) for images."""
    return tuple(range(2, images.ndim))


def _spread(values: Array, images: Array) -> Array:
    """One value an image and channel, to meet all of a window: (N, C) -> (N, C, 1, 1)."""
    return values.reshape(*values.shape, *[1] * (images.ndim - 2))
