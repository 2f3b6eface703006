"""A net text to its syntax tree, by the grammar in `grammar.lark`."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput

from striate.nets.forms import is_word, suggest
from striate.nets.graph import MOST_LAYERS
from striate.nets.source import LocatedNetError, Place
from striate.nets.syntax import Branches, Definition, Item, Repeat, Sequence, Text, Use, Word
from striate.nets.words import LARGEST_NUMBER, WordError, canonical_word

LONGEST_TEXT = 20_000  # characters; ResNet-152 has a few hundred
MOST_PARAMETERS = 16  # of a definition
DEEPEST_NESTING = 32  # brackets within brackets

Node = Any  # a lark tree; lark leaves its children without types

_PARTNERS = {"]": "[", ")": "("}
_CLOSED = {"[": "close it: [ ... ]*3", "(": "close it: ( a | b ) or ( a + b )"}
_DEFINITION = "a definition stands on one line: name(n) = conv3-n relu"
_VOLUME = re.compile(r"([0-9]{1,7})x([0-9]{1,7})x([0-9]{1,7})")


def parse_text(source: str) -> Text:
    """The syntax tree of a net text; every word in it has been read once.

    Raises:
        LocatedNetError: With line, column and a caret, where the text is not in the notation.
    """
    if len(source) > LONGEST_TEXT:
        message = f"a net text of {len(source)} characters; the limit is {LONGEST_TEXT}"
        hint = "what repeats is written once: [ ... ]*9, or a definition"
        raise LocatedNetError(message, source=source[:80], place=Place(0), hint=hint)
    _check_brackets(source)
    try:
        tree = _parser().parse(source)
    except UnexpectedInput as error:
        raise _unexpected(source, error) from None
    return _Reader(source).text(tree)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("striate.nets").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr")


def _check_brackets(source: str) -> None:
    """Says which bracket is at fault, better than a parser can, and bounds the depth."""
    opened: list[tuple[str, int]] = []
    for found in re.finditer(r"#[^\n]*|[\[\]()]", source):
        letter, offset = found[0], found.start()
        if letter in "[(":
            opened.append((letter, offset))
            if len(opened) > DEEPEST_NESTING:
                message = f"more than {DEEPEST_NESTING} brackets within each other"
                hint = "give the inner ones a definition"
                raise LocatedNetError(message, source=source, place=Place(offset), hint=hint)
        elif letter in _PARTNERS:
            partner, _ = opened.pop() if opened else ("", 0)
            if partner != _PARTNERS[letter]:
                closes = f"does not close `{partner}`" if partner else "closes nothing"
                message = f"`{letter}` {closes}"
                hint = _CLOSED.get(partner, f"leave it out, or open it with `{_PARTNERS[letter]}`")
                raise LocatedNetError(message, source=source, place=Place(offset), hint=hint)
    if opened:
        letter, offset = opened[-1]
        message, hint = f"`{letter}` is not closed", _CLOSED[letter]
        if letter == "(" and re.search(r"\w$", source[:offset]):
            hint = "close it: unit(64, 2)"
        raise LocatedNetError(message, source=source, place=Place(offset), hint=hint)


_OUT_OF_PLACE = {
    "|": "branches stand in parentheses: ( a | b )",
    "+": "branches stand in parentheses: ( a + b )",
    ",": "numbers are listed only where a definition is used: unit(64, 2)",
    "=": _DEFINITION,
    "*": "a repeat is written [ ... ]*3",
}


def _unexpected(source: str, error: UnexpectedInput) -> LocatedNetError:
    token = getattr(error, "token", None)
    if token is None:
        place = Place(error.pos_in_stream or 0)
        message = f"the character U+{ord(source[place.offset]):04X} cannot be read"
        hint: str | None = "layers are separated by plain spaces and new lines"
    elif token.type == "$END" or token.isspace():
        offset = len(source.rstrip()) if token.type == "$END" else token.start_pos
        place = Place(max(0, offset - 1))
        message = f"the {'net' if token.type == '$END' else 'line'} ends too early"
        volume = source[:offset].rstrip().endswith("input")
        hint = "after `input` comes a volume: input 32x32x3" if volume else _DEFINITION
    else:
        place = Place(token.start_pos, len(token))
        message = f"`{token}` is out of place"
        hint = _OUT_OF_PLACE.get(token[:1])
        if token.type == "WORD":
            hint = "numbers are separated by commas: unit(64, 2)"
    return LocatedNetError(message, source=source, place=place, hint=hint)


class _Reader:
    """Walks lark's tree; depth is bounded by `_check_brackets`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.parameters: tuple[str, ...] = ()
        self.names: dict[str, Place] = {}  # every definition, known before any body is read

    def fail(self, message: str, place: Place, hint: str | None = None) -> LocatedNetError:
        return LocatedNetError(message, source=self.source, place=place, hint=hint)

    def text(self, tree: Node) -> Text:
        statements = [node for node in tree.children if isinstance(node, Tree)]
        heads = [node for node in statements if node.data == "definition"]
        for node in heads:
            name, _, place = self._head(node.children[0])
            if name in self.names:
                raise self.fail(f"`{name}` is defined twice", place, "rename one of them")
            self.names[name] = place
        definitions = tuple(self._definition(node) for node in heads)
        items = [i for node in statements if node.data == "sequence" for i in node.children]
        volume = self._input(items.pop(0)) if items and items[0].data == "input" else None
        return Text(volume, definitions, self._items(items))

    def _input(self, node: Node) -> tuple[int, int, int]:
        token = node.children[0]
        found = _VOLUME.fullmatch(token)
        volume = (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
        if min(volume) < 1:
            message = f"`{token}` is not an input volume"
            raise self.fail(message, _place(token), "height x width x channels: input 32x32x3")
        return volume

    def _head(self, node: Node) -> tuple[str, tuple[str, ...], Place]:
        token, *arguments = node.children
        name = str(token).removesuffix("(")
        return name, tuple(str(argument.children[0]) for argument in arguments), _place(token)

    def _definition(self, node: Node) -> Definition:
        name, parameters, place = self._head(node.children[0])
        places = [_place(child.children[0]) for child in node.children[0].children[1:]]
        if is_word(name) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
            reason = "is a layer already" if is_word(name) else "is not a name"
            hint = "a name has letters, digits and _, and is no layer: unit(n) = conv3-n relu"
            raise self.fail(f"`{name}` {reason}", place, hint)
        for i, parameter in enumerate(parameters):
            if not re.fullmatch(r"[a-z]{1,20}", parameter) or parameter in parameters[:i]:
                message = f"`{parameter}` cannot be a parameter"
                hint = "parameters are small letters, each one once"
                raise self.fail(message, places[i], hint)
        if len(parameters) > MOST_PARAMETERS:
            message, hint = f"more than {MOST_PARAMETERS} parameters", "write some numbers out"
            raise self.fail(message, places[MOST_PARAMETERS], hint)
        self.parameters = parameters
        body = self._items(node.children[1].children)
        self.parameters = ()
        return Definition(name, parameters, body, place)

    def _items(self, nodes: list[Node]) -> Sequence:
        items: list[Item] = []
        for node in nodes:
            items.extend(self._item(node))
        return tuple(items)

    def _item(self, node: Node) -> Sequence:
        match node.data:
            case "word":
                return (self._word(node.children[0]),)
            case "call":
                return (self._use(node),)
            case "repeat":
                return self._repeat(node)
            case "branches":
                return (self._branches(node),)
            case _:
                message = "`input` may only stand at the start of the net"
                raise self.fail(message, _place(node.children[0]), "move it there, or leave it out")

    def _word(self, token: Token) -> Item:
        place = _place(token)
        if token in self.names:
            return Use(str(token), (), place)
        if token == "skip":
            message = "`skip` stands alone in a branch"
            raise self.fail(message, place, "as in ( conv3-64 + skip )")
        try:
            return Word(canonical_word(str(token), self.parameters), place)
        except WordError as error:
            hint = error.hint
            if error.message.startswith("unknown"):
                hint = suggest(str(token), tuple(self.names))
            where = Place(place.offset + error.offset, error.length or place.length)
            raise self.fail(error.message, where, hint) from None

    def _use(self, node: Node) -> Use:
        name, arguments, place = self._head(node)
        if name not in self.names:
            layer = is_word(name)
            reason = "is a layer and takes no arguments" if layer else "is not defined"
            hint = "put a space before the bracket" if layer else suggest(name, tuple(self.names))
            if not layer and not hint.startswith("did you mean"):
                hint = f"define it on a line of its own: {name}(n) = conv3-n relu"
            raise self.fail(f"`{name}` {reason}", place, hint)
        for argument, child in zip(arguments, node.children[1:], strict=True):
            where = _place(child.children[0])
            self._check_number(argument, where, "an argument", LARGEST_NUMBER - 1)
        return Use(name, arguments, place)

    def _check_number(self, text: str, place: Place, what: str, most: int) -> None:
        number = int(text) if re.fullmatch(r"[0-9]{1,20}", text) else -1
        if text not in self.parameters and not 1 <= number <= most:
            allowed = [f"a whole number from 1 to {most}", *self.parameters]
            raise self.fail(f"{what} cannot be `{text}`", place, "it is " + " or ".join(allowed))

    def _repeat(self, node: Node) -> Sequence:
        opened, inside, *counts = node.children
        body = self._inside(inside)
        if not body:
            raise self.fail("empty brackets", _place(opened), "put layers in: [ relu ]*3")
        if not counts:
            return body
        count, place = str(counts[0])[1:].strip(), _place(counts[0])
        if not count:
            raise self.fail("a repeat without a count", place, "as in [ ... ]*3")
        if count.strip("0") == "":
            raise self.fail("a repeat of 0", place, "leave the brackets and what is in them out")
        self._check_number(count, place, "a repeat", MOST_LAYERS)
        return body if count.isdigit() and int(count) == 1 else (Repeat(body, count, place),)

    def _inside(self, node: Node) -> Sequence:
        return self._items([child for child in node.children if isinstance(child, Tree)])

    def _branches(self, node: Node) -> Branches:
        opened, *joins = [child for child in node.children if isinstance(child, Token)]
        sides = [child for child in node.children if isinstance(child, Tree)]
        place = _place(opened)
        if not joins:
            hint = "( a | b ) concatenates, ( a + b ) adds, [ a ] only holds together"
            raise self.fail("one branch only", place, hint)
        other = next((join for join in joins if join != joins[0]), None)
        if other is not None:
            message = "`|` and `+` in the same parentheses"
            raise self.fail(message, _place(other), "give one of them parentheses of its own")
        return Branches(tuple(self._branch(side, place) for side in sides), str(joins[0]), place)

    def _branch(self, node: Node, place: Place) -> Sequence:
        items = [child for child in node.children if isinstance(child, Tree)]
        if not items:
            hint = "the identity is written skip: ( a + skip )"
            raise self.fail("an empty branch", place, hint)
        only = items[0]
        if len(items) == 1 and only.data == "word" and only.children[0] == "skip":
            return ()
        return self._items(items)


def _place(token: Token) -> Place:
    return Place(token.start_pos or 0, len(str(token).removesuffix("(")) or 1)
