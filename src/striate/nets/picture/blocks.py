"""What a picture shows: layers that belong together, branches, and what repeats itself once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from striate.nets.graph import (
    Activation,
    BatchNorm,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    Layer,
    LayerNorm,
    Pool,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep
from striate.nets.syntax import Branches, Definition, Repeat, Sequence, Text, Use, Word
from striate.nets.words import canonical_word

Kind = Literal["input", "convolution", "pooling", "full", "upsampling", "other"]

LONGEST_PERIOD = 12  # blocks that are looked at as one when a repetition is sought


@dataclass(frozen=True)
class Block:
    """One volume, and the words of the layers that make it.

    Attributes:
        word: The layer that shapes it; empty if there are only others.
        kind: What that layer is.
        volume: After the last of them.
        before: Layers in front of it that work on values.
        after: Layers behind it that work on values.
        count: How many blocks that are written alike follow each other.
    """

    word: str
    kind: Kind
    volume: Volume
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Fork:
    """Branches side by side, and behind them the layers that work on the values of their join."""

    join: Literal["add", "concat"]
    branches: tuple[tuple[Node, ...], ...]
    volume: Volume
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What a definition or a repetition holds.

    Attributes:
        title: The definition as it is used, or nothing.
        body: The first copy.
        volume: After the last copy.
        count: How many copies follow each other.
    """

    title: str
    body: tuple[Node, ...]
    volume: Volume
    count: int = 1


Node = Block | Fork | Frame
_Item = TracedStep | Fork | Frame
_Values = Mapping[str, int]

# Layers that change values, not volumes: they share the block of the layer before them.
_ON_VALUES = (Activation, BatchNorm, LayerNorm, ResponseNorm, Dropout, Code, Scale)


def picture_blocks(text: Text, chain: TracedChain) -> tuple[Node, ...]:
    """The blocks of a net, from its text and its traced graph, which hold the same layers."""
    definitions = {definition.name: definition for definition in text.definitions}
    return _Walk(definitions).nodes(text.body, chain, {})


def spatial(node: Node) -> tuple[int, int, bool]:
    """Height and width after a node, and whether it is flat."""
    return node.volume.height, node.volume.width, node.volume.flat


class _Walk:
    """The text gives the names of definitions, the graph the volumes."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self.definitions = definitions
        self.keys: dict[object, int] = {}

    def nodes(self, body: Sequence, chain: TracedChain, values: _Values) -> tuple[Node, ...]:
        return _folded(_blocks(self._items(body, iter(chain), values)), self._key)

    def _items(
        self, body: Sequence, parts: Iterator[TracedStep | TracedParallel], values: _Values
    ) -> list[_Item]:
        items: list[_Item] = []
        for item in body:
            match item:
                case Word():  # text and graph hold the same layers in the same order
                    items.append(cast(TracedStep, next(parts)))
                case Branches():
                    items.append(self._fork(item, cast(TracedParallel, next(parts)), values))
                case Repeat(body=inner, count=count):
                    for _ in range(values[count] if count in values else int(count)):
                        items += self._items(inner, parts, values)
                case Use():
                    items += self._used(item, parts, values)
        return items

    def _fork(self, item: Branches, part: TracedParallel, values: _Values) -> Fork:
        pairs = zip(item.branches, part.branches, strict=True)
        branches = tuple(self.nodes(branch, chain, values) for branch, chain in pairs)
        return Fork(part.parallel.join, branches, part.output)

    def _used(
        self, use: Use, parts: Iterator[TracedStep | TracedParallel], values: _Values
    ) -> list[_Item]:
        definition = self.definitions[use.name]
        numbers = [values[name] if name in values else int(name) for name in use.arguments]
        inner = dict(zip(definition.parameters, numbers, strict=True))
        items = self._items(definition.body, parts, inner)
        if not any(map(_shapes, items)):  # `norm = bn relu` goes into the block before it
            return items
        nodes = _folded(_blocks(items), self._key)
        title = f"{use.name}({', '.join(map(str, numbers))})" if numbers else use.name
        return [Frame(title, nodes, nodes[-1].volume)]

    def _key(self, node: Node) -> int:
        """One number for all nodes that are written alike, whatever their channels."""
        match node:
            case Block():
                key: object = (node.before, node.word, node.after, node.count)
            case Fork(branches=branches):
                key = (node.join, node.after, tuple(tuple(map(self._key, b)) for b in branches))
            case Frame():
                key = (node.title, node.count, tuple(map(self._key, node.body)))
        return self.keys.setdefault(key, len(self.keys))


def _shapes(item: _Item) -> bool:
    return not isinstance(item, TracedStep) or not isinstance(item.step.layer, _ON_VALUES)


def _blocks(items: list[_Item]) -> list[Node]:
    """Layers that work on values join the block before them, or else the one that follows."""
    nodes: list[Node] = []
    waiting: list[TracedStep] = []
    for item in items:
        if not isinstance(item, TracedStep):
            nodes += _alone(waiting)
            waiting = []
            nodes.append(item)
        elif _shapes(item):
            before = tuple(map(_word, waiting))
            nodes.append(Block(_word(item), _kind(item.step.layer), item.output, before))
            waiting = []
        elif nodes and not isinstance(last := nodes[-1], Frame):
            nodes[-1] = replace(last, after=(*last.after, _word(item)))
        else:
            waiting.append(item)
    return nodes + _alone(waiting)


def _alone(steps: list[TracedStep]) -> list[Node]:
    if not steps:
        return []
    return [Block("", "other", steps[-1].output, tuple(map(_word, steps)))]


def _word(step: TracedStep) -> str:
    """In its canonical spelling: a parameter may have filled in what is the default."""
    return canonical_word(step.step.text)


def _kind(layer: Layer) -> Kind:
    match layer:
        case Pool() | GlobalAverage():
            return "pooling"
        case Full():
            return "full"
        case Upsample() | Unpool() | TransposedConvolution():
            return "upsampling"
        case Convolution() | Whiten():
            return "convolution"
    return "other"


def _folded(nodes: list[Node], key: Callable[[Node], int]) -> tuple[Node, ...]:
    """Copies that follow each other as one, where height and width stay what they are.

    Of the periods that repeat from a place on, the one that covers most is taken.
    """
    marks = [(key(node), spatial(node)) for node in nodes]
    folded: list[Node] = []
    at = 0
    while at < len(nodes):
        period, count = max(
            ((p, _copies(marks, at, p)) for p in range(1, LONGEST_PERIOD + 1)),
            key=lambda found: found[0] * found[1] * (found[1] > 1),
        )
        if count == 1:
            folded.append(nodes[at])
            at += 1
            continue
        end = at + period * count
        folded.append(_times(nodes[at : at + period], count, nodes[end - 1].volume, key))
        at = end
    return tuple(folded)


def _copies(marks: list[tuple[int, tuple[int, int, bool]]], at: int, period: int) -> int:
    first, count = marks[at : at + period], 1
    while marks[at + count * period : at + (count + 1) * period] == first:
        count += 1
    return count


def _times(nodes: list[Node], count: int, volume: Volume, key: Callable[[Node], int]) -> Node:
    if len(nodes) > 1:
        return Frame("", _folded(nodes, key), volume, count)
    (node,) = nodes
    if isinstance(node, Fork):
        return Frame("", (node,), volume, count)
    return replace(node, count=node.count * count, volume=volume)
