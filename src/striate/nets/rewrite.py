"""A net for other classes or another input: the same syntax tree with a word changed."""

from __future__ import annotations

from dataclasses import replace

from striate.errors import NetError
from striate.nets.graph import Activation, Code, Dropout, Full, Scale
from striate.nets.printing import print_layer
from striate.nets.syntax import Item, Text, Word, print_text
from striate.nets.words import parse_word


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
    end = print_text(replace(text, input=None, definitions=(), body=text.body[-1:]))
    raise NetError(
        f"the net ends in {end[:60]}, not in a fully connected layer with a unit for each class",
        hint=f"end it with fc-{classes}",
    )


def with_input(text: Text, volume: tuple[int, int, int]) -> Text:
    """The text with another input line."""
    return replace(text, input=volume)


def _layer(item: Item) -> object:
    return parse_word(item.text) if isinstance(item, Word) else None


def _replaced(text: Text, i: int, word: str) -> tuple[Item, ...]:
    return (*text.body[:i], Word(word, text.body[i].place), *text.body[i + 1 :])
