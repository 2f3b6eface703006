"""`striate show`: what every layer of a net gives and costs."""

from __future__ import annotations

import re
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show a net layer by layer: volume, parameters, multiply-adds, memory, receptive field.

    Nets of the zoo that were written for large images get a small stem on images of 64 pixels or
    less, as `striate train` gives them.

    Examples:
        striate show vgg16

        striate show resnet18 --input 32x32x3 --batch 128

        striate show "[[conv3-64 relu]*2 maxpool2]*2 fc-10" --input 32x32x3 --json
    """
    from striate.cli.text import print_json
    from striate.nets import load_net
    from striate.nets.speed import measure_speed

    loaded = load_net(net)
    if input_size is not None:
        loaded = loaded.adapted_to(read_size(input_size))
    summary = loaded.summary(batch=batch)
    speed = measure_speed()
    seconds = summary.step_seconds(speed.multiply_adds_per_second, speed.bytes_per_second)
    if as_json:
        print_json(summary.to_json(seconds))
    else:
        _print_summary(summary, seconds)


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


def _print_summary(summary: Summary, seconds: float) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(summary))
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
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title, justify in (
        ("layer", "left"),
        ("output", "right"),
        ("parameters", "right"),
        ("multiply-adds", "right"),
        ("memory", "right"),
        ("sees", "right"),
    ):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    height, width, channels = summary.input
    image = _bytes(4 * height * width * channels)
    table.add_row("input", f"{height}x{width}x{channels}", "", "", image, "", style="dim")
    for row in summary.layers:
        table.add_row(*_cells(row), style="" if row.parameters else "dim")
    return table


def _cells(row: LayerRow) -> tuple[str, ...]:
    height, width, channels = row.output
    return (
        "  " * row.nesting + row.text,
        f"{height}x{width}x{channels}",
        f"{row.parameters:,}" if row.parameters else "",
        _count(row.multiply_adds) if row.multiply_adds else "",
        _bytes(row.activation_bytes),
        "x".join(map(str, row.receptive_field)),
    )


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
