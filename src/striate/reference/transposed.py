"""Transposed convolution by scattering: each value lays the kernel, times itself, on the output.

It goes the way of a convolution back, from the small volume to the large one: its matrix is the
transposed one, as `matrix.py` shows. It is not the inverse: the shapes come back, the values not.
"""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import (
    Array,
    Gradients,
    Sizes,
    by_channel,
    crop,
    pad,
    per_axis,
    sum_by_channel,
)
from striate.reference.convolution import by_group, weights_by_group
from striate.reference.windows import windows


def transposed_sizes(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    extra: tuple[int, ...],
) -> tuple[int, ...]:
    """(W - 1) S + F - 2P of every axis, and the extra rows: (H, W) -> (Ho, Wo).

    Raises:
        ValueError: If nothing would be left.

    >>> transposed_sizes((2,), (3,), stride=(2,), padding=(1,), extra=(1,))
    (4,)
    """
    outputs = tuple(
        (w - 1) * s + f - 2 * p + e
        for w, f, s, p, e in zip(sizes, kernel, stride, padding, extra, strict=True)
    )
    if min(outputs) < 1:
        raise ValueError(f"the output would have the sizes {outputs}; give less padding")
    return outputs


def transposed_convolution(
    images: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
    extra: Sizes = 0,
) -> Array:
    """A transposed convolutional layer.

    Args:
        images: (N, C, H, W), or signals (N, C, L).
        weights: (C, K/G, Fh, Fw), or (C, K/G, F): those of the convolution that goes the other way,
            from K channels to C. Dilated ones come from `dilate`.
        bias: (K,), or None.
        stride: How far the kernel moves in the output for each step in the input.
        padding: What is taken away from each side of the output.
        groups: G. Channels and kernels fall into G equal parts that do not see each other.
        extra: Rows added at the end. A convolution with a stride maps several sizes to one, since
            it drops what is left over; this says how much it was.

    Returns:
        (N, K, Ho, Wo), or (N, K, Lo).

    Raises:
        ValueError: If weights and images do not fit, or the padding leaves nothing.
    """
    if images.shape[1] != len(weights) or len(weights) % groups != 0:
        raise ValueError(
            f"weights of shape {weights.shape} do not fit {images.shape[1]} channels in {groups} "
            f"groups; their shape is (channels, K / groups, ...)"
        )
    sizes, kernel = images.shape[2:], weights.shape[2:]
    stride, padding, extra = (per_axis(size, len(sizes)) for size in (stride, padding, extra))
    shape = transposed_sizes(sizes, kernel, stride=stride, padding=padding, extra=extra)
    padded = pad(np.zeros((len(images), weights.shape[1] * groups, *shape)), padding)
    kernels = weights_by_group(weights, groups)  # (G, C/G, K/G*F*F)
    for place, patch in windows(sizes, kernel, stride):
        values = by_group(images[place], groups)  # (N, G, C/G)
        laid = np.einsum("ngc,gcf->ngf", values, kernels)  # (N, G, K/G*F*F)
        padded[patch] += laid.reshape(padded[patch].shape)
    outputs = crop(padded, padding)
    return outputs if bias is None else outputs + by_channel(bias, outputs)


def transposed_convolution_backward(
    output_gradient: Array,
    images: Array,
    weights: Array,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    groups: int = 1,
) -> Gradients:
    """The gradients of `transposed_convolution`, given that of its output, (N, K, Ho, Wo).

    What was scattered is now gathered: the gradient of the input is a convolution of that of the
    output, with the same kernels.
    """
    sizes, kernel = images.shape[2:], weights.shape[2:]
    stride, padding = per_axis(stride, len(sizes)), per_axis(padding, len(sizes))
    padded_gradient = pad(output_gradient, padding)  # (N, K, Ho + 2P, Wo + 2P)
    kernels = weights_by_group(weights, groups)  # (G, C/G, K/G*F*F)
    inputs_gradient, kernels_gradient = np.zeros(images.shape), np.zeros(kernels.shape)
    for place, patch in windows(sizes, kernel, stride):
        values = by_group(images[place], groups)  # (N, G, C/G)
        gradient = by_group(padded_gradient[patch], groups)  # (N, G, K/G*F*F)
        products = np.einsum("ngf,gcf->ngc", gradient, kernels)
        inputs_gradient[place] = products.reshape(len(images), -1)  # (N, C)
        kernels_gradient += np.einsum("ngc,ngf->gcf", values, gradient)
    return Gradients(
        inputs=inputs_gradient,
        weights=kernels_gradient.reshape(weights.shape),
        bias=sum_by_channel(output_gradient),
    )
