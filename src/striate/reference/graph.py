"""A computation graph, and backpropagation through it by the chain rule (decks 001 and 003).

The example of deck 001, f = (x + y) z at (-2, 5, -4):

>>> x, y, z = variable(-2), variable(5), variable(-4)
>>> q = x + y
>>> f = q * z
>>> slopes = gradients(f)
>>> [float(slopes[node]) for node in (x, y, q, z)]
[-4.0, -4.0, -4.0, 3.0]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import ArrayLike

from striate.reference.arrays import Array


@dataclass(frozen=True, eq=False)
class Node:
    """A value, and how it came about.

    Attributes:
        value: float64, a scalar or an array.
        operation: What made it: "variable", "+", "exp" ...
        inputs: The nodes that it was made from.
        pull: From df/d(this node), of the value's shape, to the part of df/d(input) that comes
            through this node, one for each input: df/d(this node) * d(this node)/d(input).
    """

    value: Array
    operation: str = "variable"
    inputs: tuple[Node, ...] = ()
    pull: Callable[[Array], tuple[Array, ...]] = lambda slope: ()

    def __add__(self, other: Node | float) -> Node:
        """Both derivatives are 1."""
        a, b = self, as_node(other)
        return elementwise("+", a.value + b.value, (a, 1.0), (b, 1.0))

    def __sub__(self, other: Node | float) -> Node:
        """The derivatives are 1 and -1."""
        a, b = self, as_node(other)
        return elementwise("-", a.value - b.value, (a, 1.0), (b, -1.0))

    def __mul__(self, other: Node | float) -> Node:
        """The derivative to each factor is the other one."""
        a, b = self, as_node(other)
        return elementwise("*", a.value * b.value, (a, b.value), (b, a.value))

    def __truediv__(self, other: Node | float) -> Node:
        """Of a/b, the derivatives are 1/b and -a/b^2."""
        a, b = self, as_node(other)
        return elementwise("/", a.value / b.value, (a, 1 / b.value), (b, -a.value / b.value**2))

    def __pow__(self, exponent: Node | float) -> Node:
        """Of a^b, they are b a^(b-1) and, where the exponent is a node, a^b log a."""
        a, b = self, as_node(exponent)
        value, slope = a.value**b.value, b.value * a.value ** (b.value - 1)
        if isinstance(exponent, Node):
            return elementwise("**", value, (a, slope), (b, value * np.log(a.value)))
        return elementwise(f"** {exponent}", value, (a, slope))

    def __neg__(self) -> Node:
        """The derivative is -1."""
        return elementwise("-", -self.value, (self, -1.0))

    def __matmul__(self, other: Node) -> Node:
        """The product of two matrices, (M, L) and (L, N)."""
        a, b = self, other
        return Node(
            a.value @ b.value,
            "@",
            (a, b),
            lambda slope: (slope @ b.value.T, a.value.T @ slope),
        )

    def __radd__(self, other: float) -> Node:
        """A number + this."""
        return as_node(other) + self

    def __rsub__(self, other: float) -> Node:
        """A number - this."""
        return as_node(other) - self

    def __rmul__(self, other: float) -> Node:
        """A number * this."""
        return as_node(other) * self

    def __rtruediv__(self, other: float) -> Node:
        """A number / this."""
        return as_node(other) / self

    def __rpow__(self, other: float) -> Node:
        """A number ** this."""
        return as_node(other) ** self


def variable(value: ArrayLike) -> Node:
    """A node that is given, not computed."""
    return Node(np.asarray(value, dtype=np.float64))


def as_node(value: Node | ArrayLike) -> Node:
    """A node, of a number or an array."""
    return value if isinstance(value, Node) else variable(value)


def elementwise(operation: str, value: Array, *edges: tuple[Node, Array | float]) -> Node:
    """A node whose every value depends on one value of each input alone.

    Args:
        operation: Its name.
        value: Its value.
        *edges: Each input, and the derivative of the value to it, of the value's shape.
    """

    def pull(slope: Array) -> tuple[Array, ...]:
        return tuple(_summed_to(slope * local, node.value.shape) for node, local in edges)

    return Node(np.asarray(value), operation, tuple(node for node, _ in edges), pull)


def total(x: Node) -> Node:
    """The sum of all values: the derivative to each of them is 1."""
    value = np.asarray(x.value.sum())
    return Node(value, "sum", (x,), lambda slope: (slope * np.ones_like(x.value),))


def topological_order(result: Node) -> list[Node]:
    """Every node that the result depends on, each after the nodes that it was made from."""
    inputs: dict[Node, tuple[Node, ...]] = {}
    waiting = [result]
    while waiting:
        node = waiting.pop()
        if node not in inputs:
            inputs[node] = node.inputs
            waiting.extend(node.inputs)
    return list(TopologicalSorter(inputs).static_order())


def gradients(result: Node, slope: Array | None = None) -> dict[Node, Array]:
    """The derivative of a result to every node that it depends on.

    In reverse topological order, so that a node is reached when all that was made from it has been:
    its parts, one from each use, are then all added up.

    Args:
        result: f, a scalar; or an array together with `slope`.
        slope: The derivative of something further on to `result`, where it is not 1.
    """
    found = {result: np.ones_like(result.value) if slope is None else slope}
    for node in reversed(topological_order(result)):
        for source, part in zip(node.inputs, node.pull(found[node]), strict=True):
            found[source] = found[source] + part if source in found else part
    return found


def _summed_to(part: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: a value that was used many times gets the sum of its derivatives."""
    part = part.sum(axis=tuple(range(part.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 != part.shape[axis])
    summed: Array = part.sum(axis=repeated, keepdims=True)
    return summed
