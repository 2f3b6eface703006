"""A convolution as a matrix: banded (Toeplitz), mostly zeros, the same weights in every row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from striate.reference.arrays import Array, Sizes, crop, per_axis
from striate.reference.transposed import transposed_sizes
from striate.reference.windows import output_sizes, windows


def as_matrix(kernel: ArrayLike, size: Sizes, *, stride: Sizes = 1, padding: Sizes = 0) -> Array:
    """The matrix M with which M x is the correlation of the image x with a kernel.

    Each row is the kernel laid on the image at one position of the window, and 0 elsewhere.

    Args:
        kernel: (Fh, Fw), or (F,) for signals.
        size: The image's (H, W), or the signal's L.
        stride: How far the window moves.
        padding: Zeros on each side. What of the kernel lies on them is cut off.

    Returns:
        (Ho*Wo, H*W), or (Lo, L); pixels in reading order.

    >>> print(as_matrix([1, 2, 3], 5, padding=1))
    [[2. 3. 0. 0. 0.]
     [1. 2. 3. 0. 0.]
     [0. 1. 2. 3. 0.]
     [0. 0. 1. 2. 3.]
     [0. 0. 0. 1. 2.]]
    """
    kernel = np.asarray(kernel, float)
    sizes = per_axis(size, kernel.ndim)
    stride, padding = per_axis(stride, kernel.ndim), per_axis(padding, kernel.ndim)
    padded_sizes = [s + 2 * p for s, p in zip(sizes, padding, strict=True)]
    rows = []
    outputs = output_sizes(sizes, kernel.shape, stride, padding)
    for _, patch in windows(outputs, kernel.shape, stride):
        image = np.zeros(padded_sizes)
        image[patch] = kernel
        rows.append(crop(image, padding).ravel())
    return np.stack(rows)


def layer_matrix(
    weights: Array, size: Sizes, *, stride: Sizes = 1, padding: Sizes = 0, groups: int = 1
) -> Array:
    """The matrix of a convolutional layer: K x C blocks, each the banded matrix of one kernel.

    Between channels and kernels of different groups the block is 0.

    Args:
        weights: (K, C/G, Fh, Fw), or (K, C/G, F).
        size: The images' (H, W), or the signals' L.
        stride: How far the window moves.
        padding: Zeros on each side.
        groups: G.

    Returns:
        (K*Ho*Wo, C*H*W), or (K*Lo, C*L).
    """
    blocks = [
        [as_matrix(kernel, size, stride=stride, padding=padding) for kernel in kernels]
        for kernels in ungroup(weights, groups)
    ]
    return np.block(blocks)


def convolution_by_matrix(
    images: Array, weights: Array, *, stride: Sizes = 1, padding: Sizes = 0, groups: int = 1
) -> Array:
    """The same as `convolution` without bias: the matrix times each image, as a column."""
    axes = images.ndim - 2
    matrix = layer_matrix(weights, images.shape[2:], stride=stride, padding=padding, groups=groups)
    columns = images.reshape(len(images), -1)  # (N, C*H*W)
    outputs = columns @ matrix.T  # (N, K*Ho*Wo)
    sizes = output_sizes(
        images.shape[2:], weights.shape[2:], per_axis(stride, axes), per_axis(padding, axes)
    )
    return outputs.reshape(len(images), len(weights), *sizes)


def transposed_convolution_by_matrix(
    images: Array,
    weights: Array,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
    extra: Sizes = 0,
) -> Array:
    """The same as `transposed_convolution` without bias: times the transposed matrix.

    The matrix is that of the convolution which goes the other way, from the output's size to that
    of `images`. Arguments as for `transposed_convolution`.
    """
    axes = images.ndim - 2
    stride, padding, extra = (per_axis(size, axes) for size in (stride, padding, extra))
    sizes = transposed_sizes(
        images.shape[2:], weights.shape[2:], stride=stride, padding=padding, extra=extra
    )
    matrix = layer_matrix(weights, sizes, stride=stride, padding=padding, groups=groups)
    columns = images.reshape(len(images), -1)  # (N, C*H*W)
    outputs = columns @ matrix  # the transposed of matrix.T: (N, K*Ho*Wo)
    return outputs.reshape(len(images), weights.shape[1] * groups, *sizes)


def ungroup(weights: Array, groups: int) -> Array:
    """Grouped kernels (K, C/G, F, F) as full ones (K, C, F, F), 0 on the other groups' channels."""
    kernels, channels = weights.shape[0] // groups, weights.shape[1]  # of one group
    full = np.zeros((weights.shape[0], channels * groups, *weights.shape[2:]))
    for group in range(groups):
        of_output = slice(group * kernels, (group + 1) * kernels)
        of_input = slice(group * channels, (group + 1) * channels)
        full[of_output, of_input] = weights[of_output]
    return full
