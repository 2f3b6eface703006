"""`striate backprop`: the chain rule step by step, through an expression or a small net."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from striate.explanation import Derivation, NetDerivation

VALUE, DERIVATIVE = "green", "red"  # as deck 001 colours them
PLAIN = str.maketrans("├└─│", "|`-|")


def command(
    expression: Annotated[
        str, typer.Argument(help="An expression, or with --input a net", metavar="EXPRESSION|NET")
    ],
    at: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE,...", help="Values of the variables")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="HxWxC", help="A net's image, as in 4x4x1")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of a net's image and weights  [default: 0]")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Of a net: sum, reconstruction, cross_entropy, square, logistic or hinge"
        ),
    ] = None,
    label: Annotated[
        int | None, typer.Option(min=0, help="Class of a net's image, from 0  [default: 0]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Follow a derivative back through every step of an expression or a small net.

    Every node of the computation graph is shown with its value and the derivative of the result to
    it, and the chain rule that gave it. Expressions have + - * / ** and exp, log, sqrt, sin, cos,
    tanh, sigmoid, relu, abs, max, min; steps may be named, with ; between them.

    Examples:
        striate backprop "q = x + y; f = q * z" --at x=-2,y=5,z=-4

        striate backprop "(sigmoid(w * x + b) - y)**2" --at w=0.5,x=2,b=-1,y=1

        striate backprop "fc-2 relu fc-1" --input 1x1x3

        striate backprop "conv3-2 relu maxpool2 fc-3" --input 4x4x1 --label 2 --json
    """
    from rich.console import Console

    from striate.cli.show import read_size
    from striate.cli.text import print_json
    from striate.explanation import NetDerivation, backprop

    size = None if input_size is None else read_size(input_size)
    values = read_values(at or [])
    derivation = backprop(expression, at=values, input=size, seed=seed, loss=loss, label=label)
    console = Console(highlight=False)
    if as_json:
        print_json(derivation.to_json())
    elif isinstance(derivation, NetDerivation):
        _print_net(derivation, console)
    else:
        _print_expression(derivation, console)


def read_values(texts: list[str]) -> dict[str, float]:
    """The values of variables from `x=-2,y=5`.

    Raises:
        UsageError: If a text has another form, or a name comes twice.

    Examples:
        >>> read_values(["x=-2,y=5", "z=1e-3"])
        {'x': -2.0, 'y': 5.0, 'z': 0.001}
    """
    values: dict[str, float] = {}
    for text in (part.strip() for joined in texts for part in joined.split(",")):
        found = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(\S+)", text)
        value = _number(found[2]) if found else None
        if found is None or value is None:
            raise UsageError(f"--at {text!r} is not a value", hint="as in --at x=-2,y=5")
        if found[1] in values:
            raise UsageError(f"--at gives {found[1]} twice")
        values[found[1]] = value
    return values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _print_expression(derivation: Derivation, console: Console) -> None:
    from rich.text import Text

    variables, *made = derivation.forward()
    forward = [Text(variables, VALUE), *(_result(line, VALUE) for line in made)]
    backward = [_result(line, DERIVATIVE) for line in derivation.backward()]
    for title, lines in (("forward", forward), ("backward", backward)):
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Text("  ").append_text(line), soft_wrap=True)
        console.print()
    for place, (node, value, slope) in enumerate(derivation.table()):
        drawn = node if console.encoding.startswith("utf") else node.translate(PLAIN)
        line = Text(f"{drawn}  ").append(f"{value}  ", VALUE).append(slope, DERIVATIVE)
        if place == 0:
            line.stylize("bold")
        console.print(line, soft_wrap=True)


def _result(line: str, style: str) -> Text:
    """A line whose last number is coloured, and the reason after it dim."""
    from rich.text import Text

    equation, *reason = re.split(r"(?=, (?:since|as) )", line)
    start, equals, result = equation.rpartition(" = ")
    return Text(start + equals).append(result, style).append("".join(reason), "dim")


def _print_net(derivation: NetDerivation, console: Console) -> None:
    from rich.text import Text

    for label, value, slope in derivation.page(width=console.width):
        styles = ("dim", VALUE, DERIVATIVE)
        if label.strip() and not label.startswith(" "):
            styles = ("bold", "bold", "dim")
        line = Text().join(map(Text, (label, value, slope), styles))
        line.rstrip()
        console.print(line, soft_wrap=True)
