"""Penalties on the weights, each followed by its gradient, and weight decay (deck 001)."""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import Array


def l2(theta: Array, alpha: float) -> float:
    """`alpha/2 theta . theta`."""
    return float(alpha / 2 * (theta**2).sum())


def l2_gradient(theta: Array, alpha: float) -> Array:
    """`alpha theta`."""
    return alpha * theta


def l1(theta: Array, alpha: float) -> float:
    """`alpha sum |theta|`."""
    return float(alpha * np.abs(theta).sum())


def l1_gradient(theta: Array, alpha: float) -> Array:
    """The penalty's alpha times the sign of each weight, 0 at 0."""
    return alpha * np.sign(theta)


def elastic_net(theta: Array, alpha_1: float, alpha_2: float) -> float:
    """Both together."""
    return l1(theta, alpha_1) + l2(theta, alpha_2)


def elastic_net_gradient(theta: Array, alpha_1: float, alpha_2: float) -> Array:
    """Both together."""
    return l1_gradient(theta, alpha_1) + l2_gradient(theta, alpha_2)


def decayed(theta: Array, gradient: Array, *, rate: float, alpha: float) -> Array:
    """`(1 - rate alpha) theta - rate g`: a step with the L2 penalty, written as weight decay."""
    return (1 - rate * alpha) * theta - rate * gradient


def soft_threshold(theta: Array, threshold: float) -> Array:
    """Where the L1 penalty moves a minimum: towards 0 by the threshold, and no further than 0."""
    return np.sign(theta) * np.maximum(np.abs(theta) - threshold, 0)
