"""The layers that hold weights: those of a file, by the names of its tensors, and those of a net.

Both are seen alike: a name, and the shapes of the tensors under it. What kind of layer it is
follows from these alone, so that no table of architectures is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile

import torch

from striate.nets import Net, Volume
from striate.nets.graph import GlobalAverage, Step
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep

Shape = tuple[int, ...]

COUNTER = "num_batches_tracked"  # of batch normalisation; it says nothing about the weights
_KINDS = {
    1: "a normalisation",
    2: "fully connected",
    3: "locally connected",
    4: "a convolution",
}


@dataclass(frozen=True)
class StoredLayer:
    """A layer of a file.

    Attributes:
        name: What the names of its tensors have in common, as "layer1.0.conv1".
        tensors: The shape of each of its tensors, by the last part of the name, as "weight".
    """

    name: str
    tensors: Mapping[str, Shape]

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return kind_of(self.tensors)

    def tensor_name(self, part: str) -> str:
        """The name of one of its tensors in the file."""
        return f"{self.name}.{part}" if self.name else part


@dataclass(frozen=True)
class NetLayer:
    """A layer of a net.

    Attributes:
        name: Unique in the net, as "conv3".
        prefix: What its keys in the `state_dict` begin with.
        text: Its word in the net's text.
        where: Where that stands.
        tensors: The shape of each of its tensors, by the last part of the key.
        input: The volume that it takes.
        averaged: Whether that is a mean over all positions.
        place: Its number among the layers with weights, from 0.
        is_head: Whether it is the last of them, with one output a class.
    """

    name: str
    prefix: str
    text: str
    where: str
    tensors: Mapping[str, Shape]
    input: Volume
    averaged: bool
    place: int
    is_head: bool

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return kind_of(self.tensors)

    def __str__(self) -> str:
        """Its name, its word and its place, for messages."""
        return f"{self.name} ({self.text}, {self.where})"


def kind_of(tensors: Mapping[str, Shape]) -> str:
    """What a layer with these tensors is, in words.

    Examples:
        >>> kind_of({"weight": (8, 3, 3, 3)})
        'a convolution'
        >>> kind_of({"weight": (8,), "bias": (8,), "running_mean": (8,)})
        'batch normalisation'
        >>> kind_of({"relative_position": (4, 4)})
        'of no kind that is known'
    """
    if "running_mean" in tensors:
        return "batch normalisation"
    return _KINDS.get(len(tensors.get("weight", ())), "of no kind that is known")


def stored_layers(shapes: Mapping[str, Shape]) -> list[StoredLayer]:
    """The layers of a file: tensors whose names differ in their last part only belong together.

    Examples:
        >>> [layer.name for layer in stored_layers({"bn1.weight": (8,), "bn1.bias": (8,)})]
        ['bn1']
    """
    layers: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = shape
    return [StoredLayer(name, tensors) for name, tensors in layers.items()]


def net_layers(net: Net) -> list[NetLayer]:
    """The layers with weights of a net that names its input, in the order of its text.

    The net is built without memory for its weights.

    Raises:
        NetError: It does not fit its input.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = net.build()
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = stored_layers(shapes)
    traced = {part.step.name: part for part in traced_layers(net.trace().chain)}
    averaged = _behind_average(traced.values())
    layers = []
    for place, layer in enumerate(found):
        part = traced[layer.name.rpartition(".")[2]]
        layers.append(
            NetLayer(
                name=part.step.name,
                prefix=layer.name,
                text=part.step.text,
                where=_where(net.source, part.step),
                tensors=layer.tensors,
                input=part.input,
                averaged=part.step.name in averaged,
                place=place,
                is_head=place + 1 == len(found),
            )
        )
    return layers


def traced_layers(chain: TracedChain) -> Iterator[TracedStep]:
    """Every layer of a traced net, in the order of its text."""
    for part in chain:
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from traced_layers(branch)
        else:
            yield part


def _behind_average(layers: Iterable[TracedStep]) -> set[str]:
    """The names of the layers that come after a `gap`."""
    rest = dropwhile(lambda part: not isinstance(part.step.layer, GlobalAverage), layers)
    return {part.step.name for part in rest}


def _where(source: str, step: Step) -> str:
    offset = step.place.offset
    line = source.count("\n", 0, offset) + 1
    column = offset - source.rfind("\n", 0, offset)
    used = "" if step.used is None else f" in {step.used}"
    return f"line {line}, column {column}{used}"
