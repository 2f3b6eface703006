"""`striate check-gradient`: which layer's gradient is wrong, and where gradients vanish."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from striate.explanation import GradientCheck, GradientFlow, LayerCheck

BAR = 24  # characters
WIDE = 160  # columns of a file or a pipe
FEWEST_DECADES = 4  # that a bar spans, so that small differences look small


def command(
    net: Annotated[str, typer.Argument(help="Net text, name in the zoo, or .net file")],
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="HxWxC", help="Images, as in 32x32x3")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Random images: 2, or 32 with --flow", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of images, weights and sample")] = 0,
    tolerance: Annotated[
        float | None, typer.Option(help="Relative error to bear: 1e-6", show_default=False)
    ] = None,
    entries: Annotated[
        int | None,
        typer.Option(help="Entries of each tensor to compare: 10", show_default=False),
    ] = None,
    flow: Annotated[
        bool, typer.Option("--flow", help="Instead: the norm of the gradient at every layer")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Compare the gradients of every layer with numerical ones, and name the first that is wrong.

    Each layer is checked alone, in float64, on the values that reach it: its gradient by its input
    and by its weights, at a sample of entries and along a direction through all of them. At a kink
    (a ReLU at 0, equal maxima in a pooling) the gradient has to lie between the slopes on the two
    sides. The exit status is 4 if a layer is wrong.

    With --flow: how the gradient of the loss shrinks or grows on its way back through the net at
    its initialisation.

    Examples:
        striate check-gradient lenet5

        striate check-gradient "[conv3-8 bn relu]*3 gap fc-10" --input 16x16x3 --entries 50

        striate check-gradient plain110 --flow
    """
    from striate.cli.show import read_size
    from striate.cli.text import print_json
    from striate.errors import UsageError
    from striate.explanation import check_gradient, gradient_flow

    size = None if input_size is None else read_size(input_size)
    given = {"batch": batch, "tolerance": tolerance, "entries": entries}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if flow:
        for name in ("tolerance", "entries"):
            if name in options:
                raise UsageError(f"--flow reads no --{name}")
        followed = gradient_flow(net, input=size, seed=seed, **options)
        print_json(followed.to_json()) if as_json else _print_flow(followed)
        return
    check = check_gradient(net, input=size, seed=seed, **options)
    if as_json:
        _print_document(check)
    else:
        _print_check(check)
        check.raise_if_wrong()


def _print_document(check: GradientCheck) -> None:
    """One document, which holds the error too; the error's line goes to standard error."""
    from striate.cli.text import print_json
    from striate.errors import ModelError

    try:
        check.raise_if_wrong()
    except ModelError as error:
        print_json(check.to_json() | error.to_json())
        typer.echo(f"striate: {error}", err=True)
        raise typer.Exit(error.status) from None
    print_json(check.to_json())


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def _print_check(check: GradientCheck) -> None:
    console = _console()
    console.print(_check_table(check))
    kinks = sum(layer.kinks for layer in check.layers)
    if kinks:
        console.print(
            f"{kinks:,} entries lie at a kink; there the gradient is between the two slopes",
            soft_wrap=True,
        )
    if check.passed:
        worst = max(layer.error for layer in check.layers)
        console.print(
            f"[bold]all {len(check.layers)} layers are right[/bold], "
            f"to {worst:.1e} (tolerance {check.tolerance:g})",
            soft_wrap=True,
        )


def _check_table(check: GradientCheck) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("layer", "", "input error", "weight error", "kinks", "verdict"):
        right = title in ("input error", "weight error", "kinks")
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for layer in check.layers:
        verdict = Text("right") if layer.passed else Text("wrong", style="bold red")
        table.add_row(*map(Text, _check_cells(layer)), verdict)
    return table


def _check_cells(layer: LayerCheck) -> tuple[str, ...]:
    weights = [found.error for found in layer.weights.values()]
    return (
        layer.name,
        layer.text,
        f"{layer.inputs.error:.1e}",
        f"{max(weights):.1e}" if weights else "",
        str(layer.kinks or ""),
    )


def _print_flow(flow: GradientFlow) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("layer", "", "gradient", "by weights"):
        table.add_column(title, justify="right" if "g" in title else "left", no_wrap=True)
    low, decades = _scale([layer.gradient for layer in flow.layers])
    table.add_column(f"1e{low} to 1e{low + decades}", no_wrap=True)
    for layer in flow.layers:
        by_weights = "" if layer.weight_gradient is None else f"{layer.weight_gradient:.1e}"
        cells = (layer.name, layer.text, f"{layer.gradient:.1e}", by_weights)
        table.add_row(*map(Text, cells), Text(_bar(layer.gradient, low, decades)))
    console = _console()
    console.print(table)
    console.print(
        f"{flow.loss} loss, {flow.batch} random images, fp32, PyTorch's initialisation",
        style="dim",
        soft_wrap=True,
    )
    console.print(flow.sentence, soft_wrap=True, markup=False)


def _scale(values: list[float]) -> tuple[int, int]:
    """The lowest power of ten, and how many decades, that hold all positive values."""
    logs = [math.log10(value) for value in values if 0 < value < math.inf] or [0.0]
    high = math.floor(max(logs)) + 1
    low = min(math.floor(min(logs)), high - FEWEST_DECADES)
    return low, high - low


def _bar(value: float, low: int, decades: int) -> str:
    """Characters in proportion to the logarithm."""
    if not 0 < value < math.inf:
        return ""
    return "#" * max(1, round(BAR * (math.log10(value) - low) / decades))
