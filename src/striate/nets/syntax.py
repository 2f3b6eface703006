"""The text of a net as a tree: words, uses of definitions, repeats and branches."""

from __future__ import annotations

from dataclasses import dataclass

from striate.nets.source import Place


@dataclass(frozen=True)
class Word:
    """A layer; inside a definition its sizes may be parameters. `text` is canonical."""

    text: str
    place: Place


@dataclass(frozen=True)
class Use:
    """A definition used: `unit(64, 2)`, or `stem` when it has no parameters."""

    name: str
    arguments: tuple[str, ...]
    place: Place


@dataclass(frozen=True)
class Repeat:
    """`[ ... ]*count`; the count may be a parameter."""

    body: Sequence
    count: str
    place: Place


@dataclass(frozen=True)
class Branches:
    """`( a | b )` or `( a + b )`; an empty sequence is `skip`."""

    branches: tuple[Sequence, ...]
    join: str
    place: Place


Item = Word | Use | Repeat | Branches
Sequence = tuple[Item, ...]


@dataclass(frozen=True)
class Definition:
    """`name(n, s) = ...`."""

    name: str
    parameters: tuple[str, ...]
    body: Sequence
    place: Place


@dataclass(frozen=True)
class Text:
    """A whole net: its input volume (H, W, C) if it names one, its definitions and its body."""

    input: tuple[int, int, int] | None
    definitions: tuple[Definition, ...]
    body: Sequence


def print_text(text: Text) -> str:
    """The canonical text: one line, or with definitions one more for each and for the input."""
    body = _sequence(text.body)
    start = [] if text.input is None else ["input " + "x".join(map(str, text.input))]
    if not text.definitions:
        return " ".join(part for part in [*start, body] if part)
    lines = [
        f"{_head(definition.name, definition.parameters)} = {_sequence(definition.body)}"
        for definition in text.definitions
    ]
    return "\n".join([*start, *lines, body])


def _head(name: str, arguments: tuple[str, ...]) -> str:
    return f"{name}({', '.join(arguments)})" if arguments else name


def _sequence(sequence: Sequence) -> str:
    return " ".join(map(_item, sequence))


def _item(item: Item) -> str:
    match item:
        case Word(text=text):
            return text
        case Use(name=name, arguments=arguments):
            return _head(name, arguments)
        case Repeat(body=body, count=count):
            return f"[{_sequence(body)}]*{count}"
        case Branches(branches=branches, join=join):
            return "(" + f" {join} ".join(_sequence(b) or "skip" for b in branches) + ")"
