"""The order in which the layers of a file can follow each other, as far as their names tell it.

Files are sorted by name, not by the place of a layer in its net. What the names tell is stated
here once, for all nets:

1. Layers under one name ("layer1.0.") come together.
2. Names that differ in their numbers only come in the order of these: "conv2" before "conv10",
   "inception3a" before "inception3b".
3. Between others, the lower number is tried first ("bn1" or "conv1" before "conv2"), and at one
   number a layer before a container ("bn1" before "block1"); then what has no number ("fc"), and
   last what is beside the main way or behind it ("downsample", "shortcut", "classifier", "head").
   The shapes decide.
4. A word and a number parted by a dot are one name: "norm.1" is "norm1".
5. Auxiliary heads ("aux1", "AuxLogits") are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from striate.errors import ModelError
from striate.model.pretrained.layers import StoredLayer

LATE = ("downsample", "shortcut", "skip", "proj", "classifier", "head")
AUXILIARY = "aux"
MOST_PARTS = 32  # of a name: containers within each other
_WORD_DOT_NUMBER = re.compile(r"(^|\.)(conv|norm|bn)\.(?=\d+(?:\.|$))")

_Rank = tuple[bool, float, bool, str]  # late, first number, holds others, text before the number


@dataclass(frozen=True, eq=False)
class Container:
    """What the names put together.

    Attributes:
        groups: Its parts, those whose names differ in numbers only in one group, in order.
    """

    groups: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True, eq=False)
class Part:
    """A layer, or a container, and how early it is tried among its neighbours."""

    content: StoredLayer | Container
    rank: _Rank


@dataclass(frozen=True, eq=False)
class Position:
    """How far the layers have been laid out.

    Attributes:
        container: The innermost container that has been entered.
        placed: How many parts of each of its groups have been.
        outer: The position in the container around it, this one counted as placed.
    """

    container: Container
    placed: tuple[int, ...]
    outer: Position | None = None

    @property
    def at_end(self) -> bool:
        """Whether no layer is left."""
        here = all(n == len(g) for n, g in zip(self.placed, self.container.groups, strict=True))
        return here and (self.outer is None or self.outer.at_end)

    def next_layers(self) -> Iterator[tuple[StoredLayer, Position]]:
        """Each layer that can come next, the likeliest first, and the position after it."""
        position = self
        while position.outer is not None and position._is_done:
            position = position.outer
        yield from position._choices()

    @property
    def _is_done(self) -> bool:
        return all(n == len(g) for n, g in zip(self.placed, self.container.groups, strict=True))

    def _choices(self) -> Iterator[tuple[StoredLayer, Position]]:
        groups = self.container.groups
        open_groups = [i for i, group in enumerate(groups) if self.placed[i] < len(group)]
        for i in sorted(open_groups, key=lambda i: groups[i][self.placed[i]].rank):
            part = groups[i][self.placed[i]]
            after = Position(self.container, _counted(self.placed, i), self.outer)
            if isinstance(part.content, StoredLayer):
                yield part.content, after
            else:
                yield from begin(part.content, after)._choices()


def is_auxiliary(name: str) -> bool:
    """Whether a layer belongs to a head that only the training of long ago needed.

    Examples:
        >>> is_auxiliary("aux1.fc1"), is_auxiliary("features.0")
        (True, False)
    """
    return any(part.lower().startswith(AUXILIARY) for part in name.split("."))


def begin(container: Container, outer: Position | None = None) -> Position:
    """The position at the start of a container."""
    return Position(container, (0,) * len(container.groups), outer)


def arrange(layers: Iterable[StoredLayer], path: object) -> Container:
    """The layers of a file, but for auxiliary heads, as their names put them together.

    Args:
        layers: In any order.
        path: The file, for errors.

    Raises:
        ModelError: A name has too many parts.
    """
    rows: list[tuple[list[str], StoredLayer]] = []
    for layer in layers:
        parts = _WORD_DOT_NUMBER.sub(r"\1\2", layer.name).split(".")
        if len(parts) > MOST_PARTS:
            message = f"the name {layer.name[:60]!r}... has {len(parts)} parts"
            raise ModelError(message, path=path, hint=f"at most {MOST_PARTS} are read")
        if not is_auxiliary(layer.name):
            rows.append((parts, layer))
    return _contain(rows)


def _contain(rows: Sequence[tuple[list[str], StoredLayer]]) -> Container:
    inner: dict[str, list[tuple[list[str], StoredLayer]]] = {}
    own: list[Part] = []
    for parts, layer in rows:
        if parts:
            inner.setdefault(parts[0], []).append((parts[1:], layer))
        else:
            own.append(Part(layer, (False, -1, False, "")))
    groups: dict[str, list[tuple[tuple[int | str, ...], Part]]] = {}
    for name, below in inner.items():
        stem, numbers = _tokens(name)
        alone = len(below) == 1 and not below[0][0]
        content = below[0][1] if alone else _contain(below)
        first = float(numbers[0]) if numbers else math.inf
        rank = (stem.lower().startswith(LATE), first, not alone, stem)
        groups.setdefault(stem, []).append((numbers, Part(content, rank)))
    ordered = (sorted(group, key=lambda pair: pair[0]) for group in groups.values())
    return Container((*((part,) for part in own), *(tuple(p for _, p in g) for g in ordered)))


def _tokens(name: str) -> tuple[str, tuple[int | str, ...]]:
    """The text before the first number, then numbers and text in turn.

    Examples:
        >>> _tokens("inception3a")
        ('inception', (3, 'a'))
    """
    stem, *rest = re.split(r"(\d{1,9})", name)
    return stem, tuple(int(t) if i % 2 == 0 else t for i, t in enumerate(rest))


def _counted(placed: tuple[int, ...], group: int) -> tuple[int, ...]:
    return (*placed[:group], placed[group] + 1, *placed[group + 1 :])
