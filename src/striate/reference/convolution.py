"""Convolution, by a loop over the positions of the window.

What is called convolution in deep learning is the cross-correlation of signal processing: the
kernel is laid on the image as it is. `convolve` turns it round first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from striate.reference.arrays import (
    Array,
    Gradients,
    Sizes,
    by_channel,
    crop,
    every,
    pad,
    per_axis,
    sum_by_channel,
)
from striate.reference.windows import output_sizes, windows


def correlate(
    image: ArrayLike, kernel: ArrayLike, *, stride: Sizes = 1, padding: Sizes = 0
) -> Array:
    """One kernel over one image: result(i, j) = sum over m, n of image(i + m, j + n) kernel(m, n).

    Args:
        image: (H, W), or a signal (L,).
        kernel: (Fh, Fw), or (F,).
        stride: How far the window moves.
        padding: Zeros on each side.

    Returns:
        (Ho, Wo), or (Lo,).

    >>> correlate([1, 1, 1, 0, 0], [1, 0, 1]).tolist()
    [2.0, 1.0, 1.0]
    """
    image, kernel = np.asarray(image, float), np.asarray(kernel, float)
    stride, padding = per_axis(stride, image.ndim), per_axis(padding, image.ndim)
    padded = pad(image, padding)  # (H + 2P, W + 2P)
    result = np.zeros(output_sizes(image.shape, kernel.shape, stride, padding))  # (Ho, Wo)
    for place, patch in windows(result.shape, kernel.shape, stride):
        result[place] = np.sum(padded[patch] * kernel)
    return result


def convolve(
    image: ArrayLike, kernel: ArrayLike, *, stride: Sizes = 1, padding: Sizes = 0
) -> Array:
    """The convolution of signal processing: sum over m, n of image(i - m, j - n) kernel(m, n).

    It is the correlation with the kernel turned round. Arguments as for `correlate`.

    >>> convolve([0, 0, 1, 0, 0], [1, 2, 3]).tolist()
    [1.0, 2.0, 3.0]
    """
    return correlate(image, np.flip(kernel), stride=stride, padding=padding)


def convolution(
    images: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
) -> Array:
    """A convolutional layer: K kernels, each over all channels of its group.

    A dilated convolution is a convolution with a dilated kernel: see `dilate`.

    Args:
        images: (N, C, H, W), or signals (N, C, L).
        weights: (K, C/G, Fh, Fw), or (K, C/G, F).
        bias: (K,), or None.
        stride: How far the window moves.
        padding: Zeros on each side.
        groups: G. Channels and kernels fall into G equal parts that do not see each other.

    Returns:
        (N, K, Ho, Wo), or (N, K, Lo).

    Raises:
        ValueError: If weights and images do not fit.
    """
    check_channels(images, weights, groups)
    sizes, kernel = images.shape[2:], weights.shape[2:]
    stride, padding = per_axis(stride, len(sizes)), per_axis(padding, len(sizes))
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    shape = output_sizes(sizes, kernel, stride, padding)
    outputs = np.zeros((len(images), len(weights), *shape))  # (N, K, Ho, Wo)
    kernels = weights_by_group(weights, groups)  # (G, K/G, C/G*F*F)
    for place, patch in windows(shape, kernel, stride):
        region = by_group(padded[patch], groups)  # (N, G, C/G*F*F)
        products = np.einsum("ngf,gkf->ngk", region, kernels)
        outputs[place] = products.reshape(len(images), -1)  # (N, K)
    return outputs if bias is None else outputs + by_channel(bias, outputs)


def convolution_backward(
    output_gradient: Array,
    images: Array,
    weights: Array,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
) -> Gradients:
    """The gradients of `convolution`, given that of its output, (N, K, Ho, Wo).

    At each position, output = kernel . region + bias. So the kernel gets the output's gradient
    times the region, the region gets it times the kernel, and each adds up over all positions.
    """
    kernel, axes = weights.shape[2:], images.ndim - 2
    stride, padding = per_axis(stride, axes), per_axis(padding, axes)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    kernels = weights_by_group(weights, groups)  # (G, K/G, C/G*F*F)
    padded_gradient, kernels_gradient = np.zeros(padded.shape), np.zeros(kernels.shape)
    for place, patch in windows(output_gradient.shape[2:], kernel, stride):
        region = padded[patch]  # (N, C, F, F)
        gradient = by_group(output_gradient[place], groups)  # (N, G, K/G)
        kernels_gradient += np.einsum("ngk,ngf->gkf", gradient, by_group(region, groups))
        region_gradient = np.einsum("ngk,gkf->ngf", gradient, kernels)
        padded_gradient[patch] += region_gradient.reshape(region.shape)
    return Gradients(
        inputs=crop(padded_gradient, padding),
        weights=kernels_gradient.reshape(weights.shape),
        bias=sum_by_channel(output_gradient),
    )


def check_channels(images: Array, weights: Array, groups: int) -> None:
    """Whether kernels (K, C/G, ...) fit images (N, C, ...).

    Raises:
        ValueError: If not.
    """
    channels = images.shape[1]
    if weights.shape[1] * groups != channels or len(weights) % groups != 0:
        raise ValueError(
            f"weights of shape {weights.shape} do not fit {channels} channels in {groups} groups; "
            f"their shape is (K, channels / groups, ...), K a multiple of the groups"
        )


def by_group(values: Array, groups: int) -> Array:
    """The channels of a region fall into groups: (N, C, F, F) -> (N, G, C/G*F*F)."""
    return values.reshape(len(values), groups, -1)


def weights_by_group(weights: Array, groups: int) -> Array:
    """The kernels of a layer fall into groups: (K, C/G, F, F) -> (G, K/G, C/G*F*F)."""
    return weights.reshape(groups, len(weights) // groups, -1)


def dilate(weights: Array, dilation: tuple[int, ...]) -> Array:
    """The same kernels with D - 1 zeros between neighbours: (..., F, F) -> (..., D(F-1)+1, ...).

    Args:
        weights: Kernels, in the last axes.
        dilation: D for each axis of the kernels.

    >>> dilate(np.array([1.0, 2.0, 3.0]), (2,)).tolist()
    [1.0, 0.0, 2.0, 0.0, 3.0]
    """
    others, kernel = weights.shape[: -len(dilation)], weights.shape[-len(dilation) :]
    reach = [d * (f - 1) + 1 for d, f in zip(dilation, kernel, strict=True)]
    dilated = np.zeros((*others, *reach))
    dilated[every(dilation)] = weights
    return dilated


def dilate_backward(output_gradient: Array, dilation: tuple[int, ...]) -> Array:
    """The gradient of the weights, given that of the dilated ones: what is between has none."""
    return output_gradient[every(dilation)]
