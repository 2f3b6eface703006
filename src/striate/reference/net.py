"""A whole net, forward and then back by the chain rule.

A net is a list of layers, each after the layers that it takes its inputs from: topological order.
Where branches begin, the output of one layer is taken twice:

>>> import numpy as np
>>> from striate.reference.operations import activation, add, fc
>>> w, b = np.array([[2.0, -1.0], [0.5, 3.0]]), np.zeros(2)
>>> net = [
...     Layer("fc1", fc(), ("input",), {"weight": w, "bias": b}),
...     Layer("relu1", activation("relu"), ("fc1",)),
...     Layer("add1", add(), ("relu1", "input")),
... ]
>>> values = forward(net, np.array([[1.0, 3.0]]))
>>> values["fc1"].value.tolist(), values["add1"].value.tolist()
([[-1.0, 9.5]], [[1.0, 12.5]])
>>> slopes = backward(values, "add1", np.array([[10.0, 1.0]]))
>>> slopes["input"].tolist(), slopes["fc1.weight"].tolist()
([[10.5, 4.0]], [[0.0, 0.0], [1.0, 3.0]])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from striate.reference.arrays import Array
from striate.reference.graph import Node, gradients, variable
from striate.reference.operations import Operation


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a net.

    Attributes:
        name: Unique in the net.
        operation: What it does, forward and backward.
        inputs: The names of the layers whose outputs it takes; the net's own input is "input".
        weights: Its weights by name, in the order in which the operation takes them.
    """

    name: str
    operation: Operation
    inputs: tuple[str, ...]
    weights: Mapping[str, Array] = field(default_factory=dict)


def forward(net: Sequence[Layer], images: Array) -> dict[str, Node]:
    """Run a net, and remember every value on the way.

    Args:
        net: The layers, each after those that it takes its inputs from.
        images: float64 (N, C, H, W), or (N, D).

    Returns:
        The nodes of a computation graph by name: "input", every weight as "conv1.weight", the
        output of every layer as "conv1", in the order in which they were computed.
    """
    nodes = {"input": variable(images)}
    for layer in net:
        weights = {f"{layer.name}.{name}": variable(w) for name, w in layer.weights.items()}
        sources = [nodes[name] for name in layer.inputs] + list(weights.values())
        nodes |= weights
        nodes[layer.name] = _applied(layer, tuple(sources))
    return nodes


def backward(nodes: Mapping[str, Node], output: str, slope: Array) -> dict[str, Array]:
    """The gradient of the loss to every value that `forward` remembered.

    Args:
        nodes: What `forward` gave.
        output: The name of the layer that the loss takes.
        slope: The gradient of the loss to that layer's output.

    Returns:
        By the names of `nodes`, each of the shape of its value; 0 where the loss does not depend
        on it.
    """
    found = gradients(nodes[output], slope)
    return {
        name: found[node] if node in found else np.zeros_like(node.value)
        for name, node in nodes.items()
    }


def _applied(layer: Layer, sources: tuple[Node, ...]) -> Node:
    values = [source.value for source in sources]
    return Node(
        layer.operation.forward(*values),
        layer.name,
        sources,
        lambda slope: layer.operation.backward(slope, *values),
    )
