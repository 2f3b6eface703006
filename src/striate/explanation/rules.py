"""What each operation of an expression computes, and its derivatives as formulas."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from striate.reference import Node, functions

Slope = tuple[str, str]  # a formula, and where it holds


@dataclass(frozen=True)
class Rule:
    """An operation in words. Formulas name the operands a and b, and the result y.

    A capital stands where a negative number needs parentheses.

    Attributes:
        apply: Computes it on nodes; an operand may be a number, but not all.
        text: Its formula.
        slopes: The formula of the derivative to each operand, or a function that chooses them by
            the operands' values.
    """

    apply: Callable[..., Node]
    text: str
    slopes: tuple[str, ...] | Callable[..., tuple[Slope, ...]]

    def slopes_at(self, values: Sequence[float]) -> tuple[Slope, ...]:
        """The derivatives to the operands, with the condition under which they are these."""
        if callable(self.slopes):
            return self.slopes(*values)
        return tuple((slope, "") for slope in self.slopes)


def _relu(a: float) -> tuple[Slope, ...]:
    if a == 0:
        return (("0", "{a} = 0 is a corner, where 0 is the usual choice"),)
    return (("1", "{a} > 0"),) if a > 0 else (("0", "{a} < 0"),)


def _absolute(a: float) -> tuple[Slope, ...]:
    if a == 0:
        return (("0", "{a} = 0 is a corner, where 0 is the usual choice"),)
    return (("1", "{a} > 0"),) if a > 0 else (("-1", "{a} < 0"),)


def _maximum(a: float, b: float) -> tuple[Slope, ...]:
    if a == b:
        return ("0.5", "{a} = {b}"), ("0.5", "{a} = {b}")
    holds = "{a} > {b}" if a > b else "{a} < {b}"
    return (("1", holds), ("0", holds)) if a > b else (("0", holds), ("1", holds))


def _minimum(a: float, b: float) -> tuple[Slope, ...]:
    first, second = _maximum(a, b)
    return (second[0], first[1]), (first[0], second[1])


def _power(a: float, b: float) -> tuple[Slope, ...]:
    """Of a number as exponent, such as 3: `3 * a**2`."""
    general = f"{{b}} * {{A}}**{number(b - 1, inside=True)}"
    return (({0.0: "0", 1.0: "1", 2.0: "2 * {A}"}.get(b, general), ""),)


RULES: dict[str, Rule] = {
    "+": Rule(operator.add, "{a} + {B}", ("1", "1")),
    "-": Rule(operator.sub, "{a} - {B}", ("1", "-1")),
    "*": Rule(operator.mul, "{a} * {B}", ("{b}", "{a}")),
    "/": Rule(operator.truediv, "{a} / {B}", ("1 / {B}", "-{A} / {B}**2")),
    "**": Rule(operator.pow, "{A}**{B}", ("{b} * {A}**({b} - 1)", "{y} * log({a})")),
    "** number": Rule(operator.pow, "{A}**{B}", _power),
    "negative": Rule(operator.neg, "-{A}", ("-1",)),
    "exp": Rule(functions.exp, "exp({a})", ("{y}",)),
    "log": Rule(functions.log, "log({a})", ("1 / {A}",)),
    "sqrt": Rule(functions.sqrt, "sqrt({a})", ("1 / (2 * {y})",)),
    "sin": Rule(functions.sin, "sin({a})", ("cos({a})",)),
    "cos": Rule(functions.cos, "cos({a})", ("-sin({a})",)),
    "tanh": Rule(partial(functions.activation, "tanh"), "tanh({a})", ("1 - {Y}**2",)),
    "sigmoid": Rule(partial(functions.activation, "sigmoid"), "sigmoid({a})", ("{y} * (1 - {y})",)),
    "relu": Rule(partial(functions.activation, "relu"), "relu({a})", _relu),
    "abs": Rule(functions.absolute, "abs({a})", _absolute),
    "max": Rule(functions.maximum, "max({a}, {b})", _maximum),
    "min": Rule(functions.minimum, "min({a}, {b})", _minimum),
}


def number(value: float, *, inside: bool = False) -> str:
    """A number, short; `inside` a formula a negative one stands in parentheses.

    >>> number(2 / 3), number(-4.0, inside=True)
    ('0.6667', '(-4)')
    """
    text = f"{value + 0.0:.4g}"  # -0.0 + 0.0 is 0.0
    return f"({text})" if inside and text.startswith("-") else text


def is_number(text: str) -> bool:
    """Whether a formula is a number already."""
    return re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", text) is not None


def plus(*terms: str) -> str:
    """A sum; all terms but the first stand in parentheses where they begin with a minus.

    >>> plus("-2 * x", "-1")
    '-2 * x + (-1)'
    """
    first, *others = terms
    return " + ".join([first, *(f"({term})" if term[0] == "-" else term for term in others)])


def filled(formula: str, operands: Sequence[str | float], result: str | float) -> str:
    """A formula with names or numbers put in.

    >>> filled("{a} * {B}", [3.0, -4.0], "f")
    '3 * (-4)'
    """
    parts = {}
    for letter, part in zip("aby", [*operands, *[""] * (2 - len(operands)), result], strict=True):
        parts[letter] = part if isinstance(part, str) else number(part)
        parts[letter.upper()] = part if isinstance(part, str) else number(part, inside=True)
    return formula.format(**parts)
