"""One word of the notation to its layer and back: `conv3-64/2` <-> `Convolution`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

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

# Each word, and how it is written: shown when a word cannot be read.
FORMS = {
    "conv": "conv3-64 or conv5x3-64/2x1p0x1g2d1b0c",
    "local": "local3-64 or local3-64/2p0",
    "tconv": "tconv3-64/2",
    "whiten": "whiten2",
    "maxpool": "maxpool2 or maxpool3/2p1c",
    "avgpool": "avgpool2 or avgpool3/2p1c",
    "l2pool": "l2pool2 or l2pool3/2",
    "gap": "gap",
    "fc": "fc-10 or fc-10b0",
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "silu": "silu",
    "leaky": "leaky",
    "identity": "identity",
    "softmax": "softmax",
    "bn": "bn or bnw0m0.4e1e-5",
    "ln": "ln",
    "lrn": "lrn",
    "dropout": "dropout0.5",
    "nearest": "nearest2",
    "nails": "nails2",
    "unpool": "unpool2",
    "reshape": "reshape7x7x32",
    "code": "code",
    "scale": "scale0.5 or scale1/256",
    "skip": "( conv3-64 + skip )",
    "input": "input 32x32x3",
}


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
        raise WordError(f"a word of {len(text)} characters")
    try:
        layer = _parser().parse(text)
    except UnexpectedInput as error:
        raise _unreadable(text, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, WordError):
            raise error.orig_exc from None
        raise
    return cast(Layer, layer)  # the transformer has made a layer of lark's tree


def fill_in(text: str, values: Mapping[str, int]) -> str:
    """The word with the parameters of a definition replaced by their values.

    A parameter stands for a number after `-`, `/` or `x`; the longest name that fits is taken.
    """
    if not values:
        return text
    names = "|".join(sorted(values, key=lambda name: -len(name)))
    return re.sub(rf"(?<=[-/x])({names})(?!\d)", lambda found: str(values[found[0]]), text)


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
        message = _named(error.message, stand_ins)
        raise WordError(message, hint=error.hint) from None
    return _named(spelled, stand_ins)


def _named(text: str, stand_ins: Mapping[str, int]) -> str:
    for name, value in stand_ins.items():
        text = text.replace(str(value), name)
    return text


def is_word(text: str) -> bool:
    """Whether a name is, or begins like, a layer with its sizes."""
    kind = word_kind(text)
    return kind in FORMS and re.fullmatch(r"([-\d].*)?", text[len(kind) :]) is not None


def suggest(text: str, names: tuple[str, ...] = ()) -> str | None:
    """A word near to an unknown one, as a hint."""
    kind = word_kind(text)
    near = difflib.get_close_matches(kind, [*FORMS, *names], n=1, cutoff=0.6)
    if not near:
        return "known words: " + " ".join(FORMS)
    return f"did you mean {FORMS.get(near[0], near[0])}?"


def word_kind(text: str) -> str:
    """The name that a word begins with: "conv" for `conv3-64`, "bn" for `bnw0`."""
    for kind in sorted(FORMS, key=lambda name: -len(name)):
        if text.startswith(kind):
            return kind
    return re.split(r"[-\d/.]", text)[0] or text


def _unreadable(text: str, error: UnexpectedInput) -> WordError:
    kind = word_kind(text)
    if kind not in FORMS:
        return WordError(f"unknown layer `{text}`", hint=suggest(text))
    offset = getattr(error, "pos_in_stream", None)
    if offset is None or getattr(getattr(error, "token", None), "type", "") == "$END":
        return WordError(f"`{text}` is not complete", hint=f"written as {FORMS[kind]}")
    return WordError(
        f"cannot read `{text[offset:]}` in `{text}`",
        offset=offset,
        length=len(text) - offset,
        hint=f"written as {FORMS[kind]}",
    )


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("striate.nets").joinpath("words.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="word", parser="lalr", transformer=_ToLayer())


def _count(token: Token, *, least: int = 1) -> int:
    value = int(token)
    if not least <= value < LARGEST_NUMBER:
        raise WordError(
            f"{token} is out of range",
            offset=token.start_pos or 0,
            length=len(token),
            hint=f"from {least} to {LARGEST_NUMBER - 1}",
        )
    return value


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
        return Whiten(_pair(children[0]))

    def pool(self, children: list[Any]) -> Layer:
        kind, size, *options = children
        kernel = _pair(size)
        chosen = _options(options, str(kind), {"stride", "padding", "ceil"})
        return Pool(str(kind).removesuffix("pool"), kernel, **{"stride": kernel, **chosen})  # type: ignore[arg-type]

    def gap(self, _: list[Any]) -> Layer:
        return GlobalAverage()

    def fc(self, children: list[Any]) -> Layer:
        return Full(_count(children[0]), **_options(children[1:], "fc", {"bias"}))

    def activation(self, children: list[Token]) -> Layer:
        return Activation(str(children[0]))

    def bn(self, children: list[Any]) -> Layer:
        chosen = _options(children, "bn", {"scale", "momentum", "epsilon"})
        return BatchNorm(**chosen)

    def ln(self, _: list[Any]) -> Layer:
        return LayerNorm()

    def lrn(self, _: list[Any]) -> Layer:
        return ResponseNorm()

    def dropout(self, children: list[Token]) -> Layer:
        return Dropout(_real(children[0], above=-1.0, below=1.0))

    def upsample(self, children: list[Any]) -> Layer:
        kind = "nearest" if children[0] == "nearest" else "nails"
        return Upsample(kind, _pair(children[1]))  # type: ignore[arg-type]

    def unpool(self, children: list[Any]) -> Layer:
        return Unpool(_pair(children[0]))

    def reshape(self, children: list[Token]) -> Layer:
        return Reshape(*(_count(token) for token in children))

    def code(self, _: list[Any]) -> Layer:
        return Code()

    def scale(self, children: list[Token]) -> Layer:
        return Scale(*(_real(token, above=0.0, below=1e9) for token in children))

    def stride(self, children: list[Any]) -> tuple[str, Any]:
        return "stride", _pair(children[0])

    def padding(self, children: list[Any]) -> tuple[str, Any]:
        return "padding", _pair(children[0], least=0)

    def groups(self, children: list[Token]) -> tuple[str, Any]:
        return "groups", _count(children[0])

    def dilation(self, children: list[Any]) -> tuple[str, Any]:
        return "dilation", _pair(children[0])

    def bias(self, children: list[Token]) -> tuple[str, Any]:
        return "bias", children[0] == "1"

    def ceil(self, _: list[Any]) -> tuple[str, Any]:
        return "ceil", True

    def affine(self, children: list[Token]) -> tuple[str, Any]:
        return "scale", children[0] == "1"

    def momentum(self, children: list[Token]) -> tuple[str, Any]:
        return "momentum", _real(children[0], above=0.0, below=1.000001)

    def epsilon(self, children: list[Token]) -> tuple[str, Any]:
        return "epsilon", _real(children[0], above=0.0, below=1.0)


def _pair(tokens: tuple[Token, Token], *, least: int = 1) -> Pair:
    return _count(tokens[0], least=least), _count(tokens[1], least=least)


def _real(token: Token, *, above: float, below: float) -> float:
    value = float(token)
    if not above < value < below:
        raise WordError(f"{token} is out of range", offset=token.start_pos or 0, length=len(token))
    return value


def _window(children: list[Any]) -> tuple[Pair, int, dict[str, Any]]:
    size, channels, *options = children
    kernel = _pair(size)
    allowed = {"stride", "padding", "groups", "dilation", "bias", "ceil"}
    chosen = _options(options, "a convolution", allowed)
    return kernel, _count(channels), {"padding": default_padding(kernel), **chosen}


def _options(options: list[tuple[str, Any]], kind: str, allowed: set[str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, value in options:
        if name not in allowed:
            raise WordError(f"{kind} has no {name}", hint="it takes " + ", ".join(sorted(allowed)))
        if name in chosen:
            raise WordError(f"{name} is given twice")
        chosen[name] = value
    return chosen
