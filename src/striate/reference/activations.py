"""Activations, each followed by its derivative; all but softmax work on every value alone.

`softmax` mixes the values of an image, so it has a `softmax_backward` instead of a derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from striate.reference.arrays import Array

LEAK = 0.01  # the slope of `leaky` below 0


def identity(x: Array) -> Array:
    """The value itself."""
    return x


def identity_derivative(x: Array) -> Array:
    """1 everywhere."""
    return np.ones_like(x)


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x), the sigmoid, in a form that does not overflow at large -x."""
    small = np.exp(-np.abs(x))
    share: Array = np.where(x >= 0, 1, small) / (1 + small)
    return share


def logistic_derivative(x: Array) -> Array:
    """With s = logistic(x), s (1 - s): deck 001's example of the chain rule."""
    return logistic(x) * (1 - logistic(x))


def tanh(x: Array) -> Array:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return np.tanh(x)


def tanh_derivative(x: Array) -> Array:
    """1 - tanh(x)^2: the 1 - o * o of deck 000's backpropagation."""
    return 1 - np.tanh(x) ** 2


def relu(x: Array) -> Array:
    """max(0, x)."""
    return np.maximum(x, 0)


def relu_derivative(x: Array) -> Array:
    """1 above 0, else 0; at 0, where there is none, the usual choice is 0."""
    return np.where(x > 0, 1.0, 0.0)


def leaky(x: Array) -> Array:
    """As it is above 0, a hundredth of it below."""
    return np.where(x > 0, x, LEAK * x)


def leaky_derivative(x: Array) -> Array:
    """1 above 0, else a hundredth."""
    return np.where(x > 0, 1.0, LEAK)


def gelu(x: Array) -> Array:
    """The value times P, the share of a normal distribution that lies below it.

    Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """
    return x * _normal_share(x)


def gelu_derivative(x: Array) -> Array:
    """By the product rule, P + x p, with p the normal density."""
    return _normal_share(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def silu(x: Array) -> Array:
    """The value times its logistic (Ramachandran, Zoph and Le, 2017)."""
    return x * logistic(x)


def silu_derivative(x: Array) -> Array:
    """By the product rule: logistic(x) + x logistic'(x)."""
    return logistic(x) + x * logistic_derivative(x)


def softmax(x: Array) -> Array:
    """e^x_c / sum_j e^x_j over the classes or channels, axis 1; any number may be added to x.

    Args:
        x: float64 (N, K) or (N, C, H, W).
    """
    powers = np.exp(x - x.max(axis=1, keepdims=True))  # at most 1: nothing overflows
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def softmax_backward(output_gradient: Array, x: Array) -> Array:
    """The gradient of x: dp_c/dx_j is p_c (1 - p_c) where c = j, and -p_c p_j elsewhere.

    Args:
        output_gradient: Of the shape of softmax(x).
        x: As for `softmax`.
    """
    p = softmax(x)
    gradient: Array = p * (output_gradient - (output_gradient * p).sum(axis=1, keepdims=True))
    return gradient


def _normal_share(x: Array) -> Array:
    share = np.vectorize(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2, otypes=[float])
    return np.asarray(share(x))


Function = Callable[[Array], Array]

ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "identity": (identity, identity_derivative),
    "sigmoid": (logistic, logistic_derivative),
    "tanh": (tanh, tanh_derivative),
    "relu": (relu, relu_derivative),
    "leaky": (leaky, leaky_derivative),
    "gelu": (gelu, gelu_derivative),
    "silu": (silu, silu_derivative),
}
"""By their words in the net notation: the function and its derivative."""
