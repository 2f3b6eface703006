"""One word of the notation to its layer and back: `conv3-64/2` <-> `Convolution`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple, cast

from lark import Lark, Token, Transformer, UnexpectedInput

from striate.nets.forms import FORMS, suggest, word_kind
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
    Pair,
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Whiten,
)
from striate.nets.printing import default_padding, print_layer

LARGEST_NUMBER = 10_000_000  # of any size in a word
LONGEST_WORD = 100  # characters

_OF_POOLS = {"stride": "/", "padding": "p", "ceil": "c"}
_OF_FULL = {"bias": "b"}
_OF_WINDOWS = {**_OF_POOLS, **_OF_FULL, "groups": "g", "dilation": "d"}
_OF_NORMS = {"scale": "w", "momentum": "m", "epsilon": "e"}
_UNKNOWN_NAME = re.compile(r"(?:[-/]|[0-9]x)([A-Za-z_][A-Za-z0-9_]*)")


class WordError(Exception):
    """A word that cannot be read; `offset` and `length` point into it.

    Args:
        message: What is wrong.
        offset: Where in the word.
        length: How many characters; 0 for the whole word.
        hint: How to mend it.
    """

    def __init__(
        self, message: str, *, offset: int = 0, length: int = 0, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.hint = hint


@lru_cache(maxsize=4096)
def parse_word(text: str) -> Layer:
    """The layer that a word without parameters stands for.

    Raises:
        WordError: If the word is unknown, incomplete, or a number in it is out of range.
    """
    if len(text) > LONGEST_WORD:
        message = f"a word of {len(text)} characters; the limit is {LONGEST_WORD}"
        raise WordError(message, hint="layers are separated by spaces")
    try:
        layer = _parser().parse(text)
    except UnexpectedInput as error:
        raise _unreadable(text, error) from None
    return cast(Layer, layer)  # the transformer has made a layer of lark's tree


def fill_in(text: str, values: Mapping[str, int]) -> str:
    """The word with the parameters of a definition replaced by their values.

    A parameter stands for a number after `-`, `/` or `x`; the longest name that fits is taken.
    """
    if not values:
        return text
    names = "|".join(sorted(values, key=lambda name: -len(name)))
    place = r"(?<=[-/x])(?<!^max)"  # but not the p of maxpool2
    return re.sub(rf"{place}({names})(?!\d)", lambda found: str(values[found[0]]), text)


def canonical_word(text: str, parameters: tuple[str, ...] = ()) -> str:
    """The one spelling of a word, which may hold parameters of its definition.

    Raises:
        WordError: As `parse_word`.
    """
    if not parameters:
        return print_layer(parse_word(text))
    free = (n for n in range(LARGEST_NUMBER - 1, 0, -1) if str(n) not in text)
    stand_ins = dict(zip(parameters, free, strict=False))
    try:
        spelled = print_layer(parse_word(fill_in(text, stand_ins)))
    except WordError as error:
        hint = error.hint
        if isinstance(error, _NotANumberError):
            hint = f"the parameters here are {', '.join(parameters)}"
        raise WordError(_named(error.message, stand_ins), hint=hint) from None
    return _named(spelled, stand_ins)


def _named(text: str, stand_ins: Mapping[str, int]) -> str:
    for name, value in stand_ins.items():
        text = text.replace(str(value), name)
    return text


class _NotANumberError(WordError):
    """A name where a number must be."""


def _unreadable(text: str, error: UnexpectedInput) -> WordError:
    kind = word_kind(text)
    if kind not in FORMS:
        return WordError(f"unknown layer `{text}`", hint=suggest(text))
    if (name := _UNKNOWN_NAME.search(text)) is not None:
        message = f"`{name[1]}` is not a number"
        hint = "names stand for numbers only in a definition: unit(n) = conv3-n relu"
        return _NotANumberError(message, offset=name.start(1), length=len(name[1]), hint=hint)
    offset = getattr(error, "pos_in_stream", None)
    if offset is None or getattr(getattr(error, "token", None), "type", "") == "$END":
        hint = f"one word without spaces: {FORMS[kind]}"
        return WordError(f"`{text}` is not complete", hint=hint)
    message = f"cannot read `{text[offset:]}` in `{text}`"
    if re.match(r".*[-/pgd]-[0-9]", text[: offset + 2]):
        message = f"negative numbers have no place in `{text}`"
    rest = len(text) - offset
    return WordError(message, offset=offset, length=rest, hint=f"written as {FORMS[kind]}")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("striate.nets").joinpath("words.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="word", parser="lalr", transformer=_ToLayer())


def _count(token: Token, what: str, *, least: int = 1) -> int:
    value = int(token)
    if not least <= value < LARGEST_NUMBER:
        raise _out_of_range(token, what, f"from {least} to {LARGEST_NUMBER - 1}")
    return value


def _out_of_range(token: Token, what: str, allowed: str) -> WordError:
    message, hint = f"{what} cannot be {token}", f"it is {allowed}"
    return WordError(message, offset=token.start_pos or 0, length=len(token), hint=hint)


class _Option(NamedTuple):
    """An option of a word: its name here, its value, and where it begins and ends."""

    name: str
    value: Any
    start: int
    stop: int

    @classmethod
    def of(cls, name: str, value: Any, first: Token, last: Token) -> _Option:
        return cls(name, value, first.start_pos or 0, last.end_pos or 0)


class _ToLayer(Transformer[Token, Any]):
    """Reductions of `words.lark`, called as the parser goes."""

    def pair(self, children: list[Token]) -> tuple[Token, Token]:
        return children[0], children[-1]

    def conv(self, children: list[Any]) -> Layer:
        return self._convolution(children, shared=True)

    def local(self, children: list[Any]) -> Layer:
        return self._convolution(children, shared=False)

    def _convolution(self, children: list[Any], *, shared: bool) -> Layer:
        kernel, channels, options = _window(children)
        return Convolution(kernel, channels, shared=shared, **options)

    def tconv(self, children: list[Any]) -> Layer:
        kernel, channels, options = _window(children)
        return TransposedConvolution(kernel, channels, **options)

    def whiten(self, children: list[Any]) -> Layer:
        return Whiten(_pair(children[0], "a window"))

    def pool(self, children: list[Any]) -> Layer:
        kind, size, *options = children
        kernel = _pair(size, "a window")
        chosen = _options(options, str(kind), _OF_POOLS)
        return Pool(str(kind).removesuffix("pool"), kernel, **{"stride": kernel, **chosen})  # type: ignore[arg-type]

    def gap(self, _: list[Any]) -> Layer:
        return GlobalAverage()

    def fc(self, children: list[Any]) -> Layer:
        units = _count(children[0], "the number of units")
        return Full(units, **_options(children[1:], "fc", _OF_FULL))

    def activation(self, children: list[Token]) -> Layer:
        return Activation(str(children[0]))

    def bn(self, children: list[Any]) -> Layer:
        chosen = _options(children, "bn", _OF_NORMS)
        return BatchNorm(**chosen)

    def ln(self, _: list[Any]) -> Layer:
        return LayerNorm()

    def lrn(self, _: list[Any]) -> Layer:
        return ResponseNorm()

    def dropout(self, children: list[Token]) -> Layer:
        rate = float(children[0])
        if rate >= 1:
            raise _out_of_range(children[0], "a dropout rate", "at least 0 and below 1")
        return Dropout(rate)

    def upsample(self, children: list[Any]) -> Layer:
        kind = "nearest" if children[0] == "nearest" else "nails"
        return Upsample(kind, _pair(children[1], "a factor"))  # type: ignore[arg-type]

    def unpool(self, children: list[Any]) -> Layer:
        return Unpool(_pair(children[0], "a factor"))

    def reshape(self, children: list[Token]) -> Layer:
        return Reshape(*(_count(token, "a side") for token in children))

    def code(self, _: list[Any]) -> Layer:
        return Code()

    def scale(self, children: list[Token]) -> Layer:
        for token in children:
            if float(token) == 0:
                raise _out_of_range(token, "a factor", "above 0")
        return Scale(*map(float, children))

    def stride(self, children: list[Any]) -> _Option:
        return _pair_option("stride", children, "a stride")

    def padding(self, children: list[Any]) -> _Option:
        return _pair_option("padding", children, "a padding", least=0)

    def dilation(self, children: list[Any]) -> _Option:
        return _pair_option("dilation", children, "a dilation")

    def groups(self, children: list[Token]) -> _Option:
        letter, token = children
        return _Option.of("groups", _count(token, "the number of groups"), letter, token)

    def bias(self, children: list[Token]) -> _Option:
        return _Option.of("bias", children[1] == "1", *children)

    def ceil(self, children: list[Token]) -> _Option:
        return _Option.of("ceil", True, children[0], children[0])

    def affine(self, children: list[Token]) -> _Option:
        return _Option.of("scale", children[1] == "1", *children)

    def momentum(self, children: list[Token]) -> _Option:
        letter, token = children
        if not 0 < float(token) <= 1:
            raise _out_of_range(token, "a momentum", "above 0 and at most 1")
        return _Option.of("momentum", float(token), letter, token)

    def epsilon(self, children: list[Token]) -> _Option:
        letter, token = children
        if not 0 < float(token) < 1:
            raise _out_of_range(token, "an epsilon", "above 0 and below 1")
        return _Option.of("epsilon", float(token), letter, token)


def _pair(tokens: tuple[Token, Token], what: str, *, least: int = 1) -> Pair:
    return _count(tokens[0], what, least=least), _count(tokens[1], what, least=least)


def _pair_option(name: str, children: list[Any], what: str, *, least: int = 1) -> _Option:
    letter, tokens = children
    return _Option.of(name, _pair(tokens, what, least=least), letter, tokens[1])


def _window(children: list[Any]) -> tuple[Pair, int, dict[str, Any]]:
    size, channels, *options = children
    kernel = _pair(size, "a window")
    chosen = _options(options, "a convolution", _OF_WINDOWS)
    count = _count(channels, "the number of kernels")
    return kernel, count, {"padding": default_padding(kernel), **chosen}


def _options(options: list[_Option], kind: str, allowed: Mapping[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, value, start, stop in options:
        place = {"offset": start, "length": stop - start}
        if name not in allowed:
            takes = ", ".join(f"{option} {letter}" for option, letter in allowed.items())
            raise WordError(f"{kind} has no {name}", **place, hint=f"it takes {takes}")
        if name in chosen:
            raise WordError(f"{name} is given twice", **place, hint="leave one of them out")
        chosen[name] = value
    return chosen
