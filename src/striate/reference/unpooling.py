"""Unpooling: the ways back from a small image to a large one, without weights."""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import Array, Index, Positions, Sizes, every, per_axis


def max_unpool(values: Array, positions: Positions, sizes: tuple[int, ...]) -> Array:
    """Puts each value where the maximum was found, and 0 elsewhere.

    Where windows overlap, several may have found one maximum: their values are added up, which is
    what the transposed map of the pooling does.

    Args:
        values: (N, C, Ho, Wo), or (N, C, Lo).
        positions: Of the same shape, from `max_pool`.
        sizes: (H, W) of what was pooled, or (L,).

    Returns:
        (N, C, H, W), or (N, C, L).
    """
    outputs = np.zeros((*values.shape[:2], int(np.prod(sizes))))  # (N, C, H*W)
    for n, c in np.ndindex(*values.shape[:2]):
        np.add.at(outputs[n, c], positions[n, c].ravel(), values[n, c].ravel())
    return outputs.reshape(*values.shape[:2], *sizes)


def max_unpool_backward(output_gradient: Array, positions: Positions) -> Array:
    """Each value gets the gradient of where it was put: (N, C, H, W) -> (N, C, Ho, Wo)."""
    flat = output_gradient.reshape(*output_gradient.shape[:2], -1)  # (N, C, H*W)
    gradient = np.zeros(positions.shape)
    for n, c in np.ndindex(*positions.shape[:2]):
        gradient[n, c] = flat[n, c, positions[n, c]]
    return gradient


def nearest(images: Array, factor: Sizes) -> Array:
    """Each value fills a block: (N, C, H, W) -> (N, C, H*f, W*f).

    >>> print(nearest(np.array([[[[1.0, 2.0]]]]), 2)[0, 0])
    [[1. 1. 2. 2.]
     [1. 1. 2. 2.]]
    """
    for axis, times in enumerate(per_axis(factor, images.ndim - 2), start=2):
        images = images.repeat(times, axis=axis)
    return images


def nearest_backward(output_gradient: Array, factor: Sizes) -> Array:
    """Each value gets the sum over its block: (N, C, H*f, W*f) -> (N, C, H, W)."""
    factors = per_axis(factor, output_gradient.ndim - 2)
    gradient = np.zeros(output_gradient[every(factors)].shape)  # (N, C, H, W)
    for offsets in np.ndindex(*factors):
        one_of_each_block: Index = (
            ...,
            *[slice(o, None, f) for o, f in zip(offsets, factors, strict=True)],
        )
        gradient += output_gradient[one_of_each_block]
    return gradient


def nails(images: Array, factor: Sizes) -> Array:
    """A bed of nails: each value at the top left of a block of zeros: (N, C, H*f, W*f).

    >>> print(nails(np.array([[[[1.0, 2.0]]]]), 2)[0, 0])
    [[1. 0. 2. 0.]
     [0. 0. 0. 0.]]
    """
    factors = per_axis(factor, images.ndim - 2)
    sizes = [size * times for size, times in zip(images.shape[2:], factors, strict=True)]
    outputs = np.zeros((*images.shape[:2], *sizes))
    outputs[every(factors)] = images
    return outputs


def nails_backward(output_gradient: Array, factor: Sizes) -> Array:
    """Each value gets the gradient of the top left of its block."""
    factors = per_axis(factor, output_gradient.ndim - 2)
    return output_gradient[every(factors)]
