"""Estimates of the gradient from one image, or from a few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from striate.reference.arrays import Array
from striate.reference.optimizers import Gradient

ImageGradient = Callable[[Array, int], Array]
"""theta and the place of an image -> the gradient of that image's loss."""


def full(gradient: ImageGradient, images: int) -> Gradient:
    """The mean over all images: the exact gradient of the empirical risk."""
    return lambda theta: _mean(gradient, theta, np.arange(images))


def one_by_one(gradient: ImageGradient, images: int, generator: np.random.Generator) -> Gradient:
    """One image a step, in a new random order each time around (deck 000's SGD)."""
    order: list[int] = []

    def estimate(theta: Array) -> Array:
        if not order:
            order.extend(generator.permutation(images).tolist())
        return gradient(theta, order.pop())

    return estimate


def mini_batches(
    gradient: ImageGradient, images: int, size: int, generator: np.random.Generator
) -> Gradient:
    """The mean over `size` images that are drawn anew for each step (deck 000's mini-batches).

    Its mean over the draws is the exact gradient: the estimate is unbiased (deck 001).
    """
    return lambda theta: _mean(gradient, theta, generator.choice(images, size, replace=False))


def _mean(gradient: ImageGradient, theta: Array, places: NDArray[np.int64]) -> Array:
    mean: Array = np.mean([gradient(theta, place) for place in places.tolist()], axis=0)
    return mean
