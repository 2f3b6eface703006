"""A net for other classes or other images: the same syntax tree with a few words changed."""

from __future__ import annotations

import re
from dataclasses import replace

from striate.errors import NetError
from striate.nets.graph import Activation, Code, Convolution, Dropout, Full, Pool, Scale
from striate.nets.printing import print_layer
from striate.nets.syntax import Item, Text, Word
from striate.nets.words import parse_word

SMALL_SIDE = 64  # pixels: a stem that shrinks photographs has no place at or below this


def with_classes(text: Text, classes: int) -> Text:
    """The text with `classes` units in its last fully connected layer.

    Raises:
        NetError: If the text does not end in one, but for activations and the like.
    """
    if classes < 1:
        raise NetError(f"a net of {classes} classes")
    for i in range(len(text.body) - 1, -1, -1):
        layer = _layer(text.body[i])
        if isinstance(layer, Full):
            head = print_layer(replace(layer, units=classes))
            return replace(text, body=_replaced(text, i, head))
        if not isinstance(layer, Activation | Scale | Dropout | Code):
            break
    raise NetError(
        "the net does not end in a fully connected layer that can be given one unit for each class",
        hint=f"end it with fc-{classes}",
    )


def with_input(text: Text, volume: tuple[int, int, int]) -> Text:
    """The text with another input line."""
    return replace(text, input=volume)


def adapted_to(text: Text, volume: tuple[int, int, int]) -> Text:
    """The text for images of `volume`, without the shrinking stem if they are small."""
    new = with_input(text, volume)
    written_for = max(text.input[:2]) if text.input else 0
    if written_for <= SMALL_SIDE or max(volume[:2]) > SMALL_SIDE:
        return new
    return _with_small_stem(new)


def _with_small_stem(text: Text) -> Text:
    first = next((i for i, item in enumerate(text.body) if not _passes(item)), None)
    layer = None if first is None else _layer(text.body[first])
    if first is None or not isinstance(layer, Convolution) or layer.stride == (1, 1):
        return text
    small = replace(layer, kernel=(3, 3), stride=(1, 1), padding=(1, 1))
    text = replace(text, body=_replaced(text, first, print_layer(small)))
    after = next((i for i in range(first + 1, len(text.body)) if not _passes(text.body[i])), None)
    if after is not None and isinstance(_layer(text.body[after]), Pool):
        text = replace(text, body=text.body[:after] + text.body[after + 1 :])
    return text


def _passes(item: Item) -> bool:
    """Whether an item of the stem is neither a convolution, a pooling nor anything compound."""
    return isinstance(item, Word) and re.match(r"conv|.*pool|local|fc", item.text) is None


def _layer(item: Item) -> object:
    return parse_word(item.text) if isinstance(item, Word) else None


def _replaced(text: Text, i: int, word: str) -> tuple[Item, ...]:
    return (*text.body[:i], Word(word, text.body[i].place), *text.body[i + 1 :])
