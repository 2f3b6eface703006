"""Backpropagation step by step, through an expression or a small net."""

from __future__ import annotations

import re
from collections.abc import Mapping

from striate.errors import ExpressionError, NetError, UsageError
from striate.explanation.derivation import Derivation
from striate.explanation.derive_net import derive_net
from striate.explanation.net_derivation import NetDerivation
from striate.nets import load_net

Size = tuple[int, int, int]


def backprop(
    expression: str,
    *,
    at: Mapping[str, float] | None = None,
    input: Size | None = None,
    seed: int | None = None,
    loss: str | None = None,
    label: int | None = None,
) -> Derivation | NetDerivation:
    """The computation graph of an expression or a small net, with every value and derivative.

    >>> print(backprop("q = x + y; f = q * z", at={"x": -2, "y": 5, "z": -4}))
    forward
      x = -2, y = 5, z = -4
      q = x + y = -2 + 5 = 3
      f = q * z = 3 * (-4) = -12
    <BLANKLINE>
    backward
      df/df = 1
      df/dq = z = -4
      df/dz = q = 3
      df/dx = df/dq * dq/dx = -4 * 1 = -4
      df/dy = df/dq * dq/dy = -4 * 1 = -4
    <BLANKLINE>
    graph         value  df/d(node)
    f = q * z       -12           1
    ├─ q = x + y      3          -4
    │  ├─ x          -2          -4
    │  └─ y           5          -4
    └─ z             -4           3

    Args:
        expression: Such as `q = x + y; f = q * z`, with + - * / ** and the functions exp, log,
            sqrt, sin, cos, tanh, sigmoid, relu, abs, max, min. Or, with `input`, a net: a text, a
            name in the zoo, or a .net file; also a text that begins with its input.
        at: The values of the expression's variables, by name.
        input: H, W, C of the net's image.
        seed: Of the net's image and weights; by default 0.
        loss: Of the net: see `derive_net`.
        label: The class of the net's image, from 0.

    Raises:
        ExpressionError: If the expression cannot be read, or has no value or derivative there.
        NetError: If the net cannot be read, does not fit its input, or is too large to be read.
        UsageError: If an argument does not fit the expression or the net.
    """
    if input is None and not re.match(r"\s*input\s+[0-9]", expression):
        for name, value in (("seed", seed), ("loss", loss), ("label", label)):
            if value is not None:
                raise UsageError(f"an expression has no {name}", hint="give a net its input size")
        return _expression(expression, at or {})
    if at:
        raise UsageError("a net has no variables to give values", hint="leave `at` out")
    net = load_net(expression)
    net = net if input is None else net.adapted_to(input)
    return derive_net(net, seed=seed or 0, loss=loss, label=label)


def _expression(text: str, at: Mapping[str, float]) -> Derivation:
    try:
        return Derivation.of(text, at)
    except ExpressionError as error:
        if at or not _is_net(text):
            raise
        hint = "give it, as in 4x4x1"
        raise UsageError("this is a net, and its input size is not given", hint=hint) from error


def _is_net(text: str) -> bool:
    try:
        return bool(load_net(text).graph)
    except NetError:
        return False
