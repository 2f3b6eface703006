"""Functions of nodes in a computation graph, each with its derivative."""

from __future__ import annotations

import numpy as np

from striate.reference import activations
from striate.reference.graph import Node, elementwise


def exp(x: Node) -> Node:
    """The exponential; it is its own derivative."""
    value = np.exp(x.value)
    return elementwise("exp", value, (x, value))


def log(x: Node) -> Node:
    """The natural logarithm; its derivative is 1/x."""
    return elementwise("log", np.log(x.value), (x, 1 / x.value))


def sqrt(x: Node) -> Node:
    """The root; its derivative is 1 / (2 sqrt x)."""
    value = np.sqrt(x.value)
    return elementwise("sqrt", value, (x, 1 / (2 * value)))


def sin(x: Node) -> Node:
    """The sine; its derivative is the cosine."""
    return elementwise("sin", np.sin(x.value), (x, np.cos(x.value)))


def cos(x: Node) -> Node:
    """The cosine; its derivative is minus the sine."""
    return elementwise("cos", np.cos(x.value), (x, -np.sin(x.value)))


def absolute(x: Node) -> Node:
    """The size without the sign; its derivative is the sign, 0 at 0."""
    return elementwise("abs", np.abs(x.value), (x, np.sign(x.value)))


def maximum(a: Node, b: Node) -> Node:
    """The larger; the derivative is 1 to the one that it is and 0 to the other, half to equals."""
    share = np.heaviside(a.value - b.value, 0.5)
    return elementwise("max", np.maximum(a.value, b.value), (a, share), (b, 1 - share))


def minimum(a: Node, b: Node) -> Node:
    """The smaller, likewise."""
    share = np.heaviside(b.value - a.value, 0.5)
    return elementwise("min", np.minimum(a.value, b.value), (a, share), (b, 1 - share))


def activation(name: str, x: Node) -> Node:
    """An activation by its word in the net notation, but for softmax: "sigmoid", "relu" ..."""
    function, derivative = activations.ACTIVATIONS[name]
    return elementwise(name, function(x.value), (x, derivative(x.value)))
