"""What every layer of the room shares: arrays, their gradients, zeros around an image.

An array of images has the axes (N, C, H, W), as in PyTorch: images, channels, height, width; one of
signals has (N, C, L). One code serves both, since it treats all axes after the second alike.
"""

from __future__ import annotations

from types import EllipsisType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
Numbers = TypeVar("Numbers", Array, Positions)
Sizes = int | tuple[int, ...]  # one number for all axes, or one for each: (height, width)
Index = tuple[EllipsisType | int | slice, ...]  # what stands between the brackets of an array


class Gradients(NamedTuple):
    """The gradients of the loss, each in the shape of what it belongs to.

    Attributes:
        inputs: For the layer's input.
        weights: For its weights.
        bias: For its bias; to be ignored where the layer has none.
    """

    inputs: Array
    weights: Array
    bias: Array


def per_axis(sizes: Sizes, axes: int) -> tuple[int, ...]:
    """One number for each axis: `per_axis(2, axes=2)` is (2, 2).

    Raises:
        ValueError: If there are more or fewer numbers than axes.
    """
    if isinstance(sizes, int):
        return (sizes,) * axes
    if len(sizes) != axes:
        raise ValueError(f"{sizes} has {len(sizes)} numbers for {axes} axes; give one for each")
    return sizes


def pad(images: Numbers, padding: tuple[int, ...], value: float = 0) -> Numbers:
    """`padding` values on both sides of the last axes: (..., H, W) -> (..., H + 2P, W + 2P)."""
    others = [(0, 0)] * (images.ndim - len(padding))
    sides = [(amount, amount) for amount in padding]
    return np.pad(images, others + sides, constant_values=value)


def crop(images: Array, padding: tuple[int, ...]) -> Array:
    """Takes away what `pad` has added: (..., H + 2P, W + 2P) -> (..., H, W)."""
    sizes = images.shape[-len(padding) :]
    inner = [slice(amount, size - amount) for amount, size in zip(padding, sizes, strict=True)]
    middle: Index = (..., *inner)
    return images[middle]


def every(steps: tuple[int, ...]) -> Index:
    """The index of every so manyth value along the last axes: [..., ::2, ::2] for (2, 2)."""
    return (..., *[slice(None, None, step) for step in steps])


def by_channel(numbers: Array, images: Array) -> Array:
    """One number a channel, shaped to meet images (N, C, H, W): (C,) -> (C, 1, 1)."""
    return numbers.reshape(-1, *[1] * (images.ndim - 2))


def sum_by_channel(images: Array) -> Array:
    """The sum over everything but the channels: (N, C, H, W) -> (C,)."""
    total: Array = images.sum(axis=(0, *range(2, images.ndim)))
    return total
