"""Fully connected and locally connected layers, and the flattening before them."""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import Array, Gradients, Sizes, crop, pad, per_axis
from striate.reference.convolution import by_group, check_channels, weights_by_group
from striate.reference.windows import output_sizes, windows


def flatten(images: Array) -> Array:
    """Each image as a row of numbers, channel after channel: (N, C, H, W) -> (N, C*H*W)."""
    return images.reshape(len(images), -1)


def flatten_backward(output_gradient: Array, images: Array) -> Array:
    """The same numbers in the shape of the images."""
    return output_gradient.reshape(images.shape)


def fully_connected(inputs: Array, weights: Array, bias: Array | None = None) -> Array:
    """W x + b: every output is joined to every input.

    Args:
        inputs: (N, D), or anything that `flatten` makes so.
        weights: W, (K, D).
        bias: b, (K,), or None.

    Returns:
        (N, K).
    """
    outputs = flatten(inputs) @ weights.T  # (N, K)
    return outputs if bias is None else outputs + bias


def fully_connected_backward(output_gradient: Array, inputs: Array, weights: Array) -> Gradients:
    """dL/dx = W^T dL/dy, dL/dW = dL/dy x^T, dL/db = dL/dy, summed over the inputs of the batch."""
    return Gradients(
        inputs=flatten_backward(output_gradient @ weights, inputs),
        weights=output_gradient.T @ flatten(inputs),  # (K, D)
        bias=output_gradient.sum(axis=0),  # (K,)
    )


def locally_connected(
    images: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
) -> Array:
    """A convolution whose weights are not shared: every position has kernels of its own.

    Args:
        images: (N, C, H, W), or signals (N, C, L).
        weights: (K, C/G, Fh, Fw, Ho, Wo), or (K, C/G, F, Lo): the kernels of each place in the
            output.
        bias: (K, Ho, Wo), or (K, Lo), or None.
        stride: How far the window moves.
        padding: Zeros on each side.
        groups: G. Channels and kernels fall into G equal parts that do not see each other.

    Returns:
        (N, K, Ho, Wo), or (N, K, Lo).

    Raises:
        ValueError: If weights and images do not fit.
    """
    check_channels(images, weights, groups)
    sizes, axes = images.shape[2:], images.ndim - 2
    kernel = weights.shape[2 : 2 + axes]
    stride, padding = per_axis(stride, axes), per_axis(padding, axes)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    shape = output_sizes(sizes, kernel, stride, padding)
    outputs = np.zeros((len(images), len(weights), *shape))  # (N, K, Ho, Wo)
    for place, patch in windows(shape, kernel, stride):
        region = by_group(padded[patch], groups)  # (N, G, C/G*F*F)
        here = weights_by_group(weights[place], groups)  # (G, K/G, C/G*F*F)
        products = np.einsum("ngf,gkf->ngk", region, here)
        outputs[place] = products.reshape(len(images), -1)  # (N, K)
    return outputs if bias is None else outputs + bias


def locally_connected_backward(
    output_gradient: Array,
    images: Array,
    weights: Array,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
) -> Gradients:
    """The gradients of `locally_connected`, given that of its output, (N, K, Ho, Wo).

    As for a convolution, but nothing adds up over the positions: each has weights of its own.
    """
    axes = images.ndim - 2
    kernel = weights.shape[2 : 2 + axes]
    stride, padding = per_axis(stride, axes), per_axis(padding, axes)
    padded = pad(images, padding)  # (N, C, H + 2P, W + 2P)
    padded_gradient, weights_gradient = np.zeros(padded.shape), np.zeros(weights.shape)
    for place, patch in windows(output_gradient.shape[2:], kernel, stride):
        region = padded[patch]  # (N, C, F, F)
        here = weights_by_group(weights[place], groups)  # (G, K/G, C/G*F*F)
        gradient = by_group(output_gradient[place], groups)  # (N, G, K/G)
        kernels_gradient = np.einsum("ngk,ngf->gkf", gradient, by_group(region, groups))
        weights_gradient[place] = kernels_gradient.reshape(weights[place].shape)
        region_gradient = np.einsum("ngk,gkf->ngf", gradient, here)
        padded_gradient[patch] += region_gradient.reshape(region.shape)
    return Gradients(
        inputs=crop(padded_gradient, padding),
        weights=weights_gradient,
        bias=output_gradient.sum(axis=0),
    )
