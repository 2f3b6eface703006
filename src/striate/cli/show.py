"""`striate show`: what every layer of a net gives and costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from striate.nets import LayerRow, Summary

DEFAULT_BATCH = 32


def command(
    net: Annotated[str, typer.Argument(help="Net text, name in the zoo, or .net file")],
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="HxWxC", help="Images, as in 32x32x3")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Images in the predicted training step")
    ] = DEFAULT_BATCH,
    compare_fc: Annotated[
        bool,
        typer.Option(
            "--compare-fc",
            help="Beside each convolution: the parameters of a locally and a fully connected layer",
        ),
    ] = False,
    object_side: Annotated[
        int | None,
        typer.Option(
            "--object",
            metavar="N",
            min=1,
            help="Pixels of the smaller side of what is to be recognised; else half of the image's",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw the graph into this file")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show a net layer by layer: volume, parameters, multiply-adds, memory, receptive field.

    The receptive field is what a value sees, in pixels of the image, and the step to its
    neighbour's. One number is both height and width.

    Nets of the zoo that were written for large images get a small stem on images of 64 pixels or
    less, as `striate train` gives them.

    Examples:
        striate show vgg16

        striate show resnet18 --input 32x32x3 --batch 128

        striate show "[[conv3-64 relu]*2 maxpool2]*2 fc-10" --input 32x32x3 --json

        striate show alexnet --compare-fc

        striate show googlenet --picture googlenet.svg
    """
    from striate.cli.text import print_json, printable
    from striate.model import write_atomically
    from striate.nets import load_net

    if picture is not None and picture.suffix.lower() != ".svg":
        raise UsageError(f"--picture {picture} is not an SVG file", hint="end its name with .svg")
    loaded = load_net(net)
    if input_size is not None:
        loaded = loaded.adapted_to(read_size(input_size))
    summary = loaded.summary(batch=batch, compare_fc=compare_fc, object=object_side)
    if picture is not None:
        write_atomically(picture, loaded.picture())
    seconds = loaded.step_seconds(batch=batch)
    if as_json:
        drawn = {} if picture is None else {"picture": str(picture)}
        print_json(summary.to_json(seconds) | drawn)
    else:
        _print_summary(summary, seconds, compare_fc=compare_fc)
        if picture is not None:
            print(f"picture {printable(str(picture))}")


def read_size(text: str) -> tuple[int, int, int]:
    """Height, width and channels from `32x32x3`.

    Raises:
        UsageError: If the text has another form.

    Examples:
        >>> read_size("32x48x3")
        (32, 48, 3)
    """
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text.strip())
    if found is None:
        raise UsageError(
            f"--input {text!r} is not a size", hint="height x width x channels, as in 32x32x3"
        )
    return int(found[1]), int(found[2]), int(found[3])


def _print_summary(summary: Summary, seconds: float, *, compare_fc: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    table = _comparison(summary) if compare_fc else _table(summary)
    wide = console.measure(table, options=console.options.update(max_width=1000)).maximum
    if wide > console.width:  # its lines run over, but no figure is cut
        console = Console(highlight=False, width=wide)
    console.print(table)
    if compare_fc:
        console.print(_totals(summary), soft_wrap=True)
    console.print(
        f"[bold]{summary.parameters:,} parameters[/bold], {_count(summary.multiply_adds)} "
        f"multiply-adds and {_bytes(summary.activation_bytes)} of values an image, "
        f"{summary.depth} layers deep",
        soft_wrap=True,
    )
    console.print(
        f"a training step of {summary.batch:,} images: about {_bytes(summary.memory_bytes)}, "
        f"roughly {_seconds(seconds)} here (fp32)",
        soft_wrap=True,
    )
    for warning in summary.warnings:
        console.print(f"[yellow]warning[/yellow] {warning}", soft_wrap=True)


def _table(summary: Summary) -> Table:
    height, width, channels = summary.input
    image = _bytes(4 * height * width * channels)
    heads = ("layer", "output", "parameters", "multiply-adds", "memory", "sees", "step")
    table = _empty(heads, ("input", f"{height}x{width}x{channels}", "", "", image, "", ""))
    for row in summary.layers:
        table.add_row(*_cells(row), style="" if row.parameters else "dim")
    return table


def _empty(heads: tuple[str, ...], image: tuple[str, ...]) -> Table:
    """A table with its first row, the image."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(heads[0], no_wrap=True)
    for title in heads[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_row(*image, style="dim")
    return table


def _cells(row: LayerRow) -> tuple[str, ...]:
    height, width, channels = row.output
    return (
        "  " * row.nesting + row.text,
        f"{height}x{width}x{channels}",
        f"{row.parameters:,}" if row.parameters else "",
        _count(row.multiply_adds) if row.multiply_adds else "",
        _bytes(row.activation_bytes),
        _pair(row.receptive_field),
        _pair(row.stride) if any(row.stride) else "",
    )


def _pair(pair: tuple[float, float]) -> str:
    """Height and width, as in the notation: once where they are the same."""
    first, second = (f"{number:.4g}" for number in pair)
    return first if first == second else f"{first}x{second}"


def _comparison(summary: Summary) -> Table:
    """Each convolution beside the layers that would share no weights."""
    height, width, channels = summary.input
    image = ("input", f"{height}x{width}x{channels}", f"{height * width * channels:,}", "", "", "")
    heads = ("layer", "output", "outputs", "parameters", "if local", "if full")
    table = _empty(heads, image)
    for row in summary.layers:
        height, width, channels = row.output
        found = row.comparison
        table.add_row(
            "  " * row.nesting + row.text,
            f"{height}x{width}x{channels}",
            f"{height * width * channels:,}",
            f"{row.parameters:,}" if row.parameters else "",
            _exact(found.local) if found else "",
            _exact(found.full) if found else "",
            style="" if row.parameters else "dim",
        )
    return table


def _totals(summary: Summary) -> str:
    found = [row.comparison for row in summary.layers if row.comparison is not None]
    return (
        f"the convolutions share {_exact(sum(one.shared for one in found))} parameters; locally "
        f"connected, with the same inputs and outputs, they would have "
        f"{_exact(sum(one.local for one in found))}, fully connected "
        f"{_exact(sum(one.full for one in found))}"
    )


def _exact(number: int) -> str:
    return f"{number:,}" if number < 1e9 else _count(number)


def _count(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:g}"


def _bytes(number: float) -> str:
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:g} B"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 1 else f"{seconds:.1f} s"
