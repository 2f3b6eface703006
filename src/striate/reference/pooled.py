"""Pooling and unpooling as a net holds them: see `operations`."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.reference import pooling, unpooling
from striate.reference.arrays import Array, Sizes
from striate.reference.operations import Operation


def maxpool(size: Sizes, **settings: Any) -> Operation:
    """The maximum of each window; settings as for `max_pool`."""

    def backward(slope: Array, x: Array) -> tuple[Array, ...]:
        _, positions = pooling.max_pool(x, size, **settings)
        return (pooling.max_pool_backward(slope, positions, x),)

    return Operation(lambda x: pooling.max_pool(x, size, **settings)[0], backward)


def unpool(size: Sizes, **settings: Any) -> Operation:
    """Undo a `maxpool` of the same settings; the second input is what that one took.

    What was pooled says where the values go, which a small change of it does not alter: its
    gradient is 0.
    """

    def forward(x: Array, pooled: Array) -> Array:
        _, positions = pooling.max_pool(pooled, size, **settings)
        return unpooling.max_unpool(x, positions, pooled.shape[2:])

    def backward(slope: Array, x: Array, pooled: Array) -> tuple[Array, ...]:
        _, positions = pooling.max_pool(pooled, size, **settings)
        return unpooling.max_unpool_backward(slope, positions), np.zeros_like(pooled)

    return Operation(forward, backward)


def avgpool(size: Sizes, *, ceil: bool = False, **settings: Any) -> Operation:
    """The average of each window; settings as for `average_pool`."""
    return Operation(
        lambda x: pooling.average_pool(x, size, ceil=ceil, **settings),
        lambda slope, x: (pooling.average_pool_backward(slope, x, size, **settings),),
    )


def l2pool(size: Sizes, *, ceil: bool = False, **settings: Any) -> Operation:
    """The length of each window; settings as for `l2_pool`."""
    return Operation(
        lambda x: pooling.l2_pool(x, size, ceil=ceil, **settings),
        lambda slope, x: (pooling.l2_pool_backward(slope, x, size, **settings),),
    )


def gap() -> Operation:
    """The average over all positions, as a volume: (N, C, H, W) -> (N, C, 1, 1)."""
    return Operation(
        lambda x: pooling.global_average(x)[:, :, None, None],
        lambda slope, x: (pooling.global_average_backward(slope[:, :, 0, 0], x),),
    )


def nearest(factor: Sizes) -> Operation:
    """Each value fills a block."""
    return Operation(
        lambda x: unpooling.nearest(x, factor),
        lambda slope, x: (unpooling.nearest_backward(slope, factor),),
    )


def nails(factor: Sizes) -> Operation:
    """Each value at the top left of a block of zeros."""
    return Operation(
        lambda x: unpooling.nails(x, factor),
        lambda slope, x: (unpooling.nails_backward(slope, factor),),
    )
