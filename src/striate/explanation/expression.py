"""The text of an expression, such as `q = x + y; f = q * z`, as a tree; nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, UnexpectedInput

from striate.errors import ExpressionError
from striate.nets.source import Place, located

LONGEST_TEXT = 2000  # characters
LONGEST_NAME = 20
MOST_OPERATIONS = 100  # more cannot be read step by step, and bounds the depth of the tree

ARGUMENTS = {
    "exp": 1, "log": 1, "sqrt": 1, "sin": 1, "cos": 1, "tanh": 1, "sigmoid": 1, "relu": 1, "abs": 1,
    "max": 2, "min": 2,
}  # fmt: skip
"""The functions, and how many arguments they take."""

GRAMMAR = r"""
start: _END* statement (_END+ statement)* _END*
statement: (NAME "=")? sum
?sum: product | sum PLUS product -> binary | sum MINUS product -> binary
?product: sign | product TIMES sign -> binary | product OVER sign -> binary
?sign: power | MINUS sign -> minus | PLUS sign -> plus
?power: atom | atom POWER sign -> binary
?atom: NUMBER -> number | NAME -> name | "(" sum ")" | NAME "(" sum ("," sum)* ")" -> call

PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
POWER: "**" | "^"
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
_END: /[;\n]/

%ignore /[ \t\r]+/
"""

Node = Any  # a lark tree; lark leaves its children without types


@dataclass(frozen=True)
class Number:
    """A number as it stands in the text."""

    value: float
    place: Place


@dataclass(frozen=True)
class Name:
    """A variable, or the name of an earlier step."""

    text: str
    place: Place


@dataclass(frozen=True)
class Apply:
    """An operation: "+", "-", "*", "/", "**", "negative", or a function of `ARGUMENTS`."""

    operation: str
    operands: tuple[Expression, ...]
    place: Place


Expression = Number | Name | Apply


@dataclass(frozen=True)
class Statement:
    """`name = expression`; the name may be missing."""

    name: str | None
    expression: Expression
    place: Place


def parse_expression(source: str) -> tuple[Statement, ...]:
    """The statements of a text, separated by `;` or by lines.

    Raises:
        ExpressionError: With a caret, where the text cannot be read or is too long.
    """
    if len(source) > LONGEST_TEXT:
        message = f"an expression of {len(source)} characters; the limit is {LONGEST_TEXT}"
        raise ExpressionError(message)
    try:
        tree = _parser().parse(source)
    except UnexpectedInput as error:
        raise _unexpected(source, error) from None
    operations = [n for n in tree.iter_subtrees() if n.data in ("binary", "minus", "plus", "call")]
    if len(operations) > MOST_OPERATIONS:
        message = f"{len(operations)} operations; the limit is {MOST_OPERATIONS}"
        raise ExpressionError(message)
    return tuple(_statement(source, node) for node in tree.children)


def failure(message: str, source: str, place: Place, hint: str | None = None) -> ExpressionError:
    """An error that points into the text."""
    return ExpressionError(located(message, source, place), hint=hint)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def _statement(source: str, node: Node) -> Statement:
    *names, tree = node.children
    expression = _expression(source, tree)
    if not names:
        return Statement(None, expression, expression.place)
    (token,) = names
    place = Place(token.start_pos, len(token))
    if token in ARGUMENTS:
        raise failure(f"`{token}` is a function, so it cannot be a name", source, place)
    return Statement(_name(source, token).text, expression, place)


def _expression(source: str, node: Node) -> Expression:
    place = Place(node.meta.start_pos, node.meta.end_pos - node.meta.start_pos)
    match node.data:
        case "number":
            return Number(float(node.children[0]), place)
        case "name":
            return _name(source, node.children[0])
        case "binary":
            left, token, right = node.children
            operation = "**" if token == "^" else str(token)
            operands = (_expression(source, left), _expression(source, right))
            return Apply(operation, operands, place)
        case "minus":
            return Apply("negative", (_expression(source, node.children[1]),), place)
        case "plus":
            return _expression(source, node.children[1])
        case _:
            return _call(source, node, place)


def _name(source: str, token: Token) -> Name:
    place = Place(token.start_pos or 0, len(token))
    if token in ARGUMENTS:
        hint = f"{token}(x)" if ARGUMENTS[token] == 1 else f"{token}(x, y)"
        raise failure(f"`{token}` is a function", source, place, f"write {hint}")
    if len(token) > LONGEST_NAME:
        raise failure(f"a name of {len(token)} letters; the limit is {LONGEST_NAME}", source, place)
    return Name(str(token), place)


def _call(source: str, node: Node, place: Place) -> Apply:
    token, *arguments = node.children
    if token not in ARGUMENTS:
        where = Place(token.start_pos, len(token))
        known = ", ".join(ARGUMENTS)
        raise failure(f"`{token}` is not a function", source, where, f"there are {known}")
    if len(arguments) != ARGUMENTS[token]:
        many = f"{ARGUMENTS[token]} argument{'s' * (ARGUMENTS[token] > 1)}"
        raise failure(f"{token} takes {many}, not {len(arguments)}", source, place)
    operands = tuple(_expression(source, argument) for argument in arguments)
    return Apply(str(token), operands, place)


def _unexpected(source: str, error: UnexpectedInput) -> ExpressionError:
    token = getattr(error, "token", None)
    if not source.strip():
        return ExpressionError("an empty expression", hint="for instance: (x + y) * z")
    if token is None:
        offset = error.pos_in_stream or 0
        return failure(f"`{source[offset]}` is not part of an expression", source, Place(offset))
    if token.type == "$END":
        end = Place(len(source.rstrip()) - 1)
        opened = "a `(` is not closed" if source.count("(") > source.count(")") else None
        return failure("the expression is not complete", source, end, opened)
    place = Place(token.start_pos, len(token))
    if token.type == "_END":
        return failure("the expression is not complete here", source, Place(token.start_pos))
    hint = None
    if token.type in ("NAME", "NUMBER", "LPAR"):
        hint = "a product is written with *, as in 2 * x"
    return failure(f"`{token}` is out of place", source, place, hint)
