"""`striate bench`: what this machine can do at most, and how near a net's training comes to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.loading import loading
from striate.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from striate.report.performance import Bench, Phase


def command(
    net: Annotated[
        str, typer.Argument(help="Net text, name or .net file; auto; or the name of a data set")
    ] = "auto",
    data: Annotated[
        str | None, typer.Option(help="Folder, CSV, .npz, or the name of a data set; else made up")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="HxWxC", help="Made-up images, as in 32x32x3")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, max=1_000_000, help="Images in a step; else the recipe's")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16")] = "auto",
    kernels: Annotated[
        str | None, typer.Option(help="on (the default), or off: PyTorch's operators alone")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A field of the recipe, as optimizer.name=adam; may be repeated"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="How long to measure steps")
    ] = 10.0,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Of the processor; else PyTorch's own number"),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="A line a layer, too")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg|png", help="Draw the roofline into this file"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Measure this machine's ceilings, and where the time of a net's training step goes.

    The ceilings are the fastest matrix products in fp32 and bf16, and a copy. The step is that of
    `striate train` with the recipe `fast`. A multiply-add counts as two floating-point operations.

    Examples:
        striate bench

        striate bench resnet18 --input 32x32x3 --batch 128 --layers

        striate bench lenet5 --kernels off --set optimizer.name=adam --set optimizer.lr=0.001

        striate bench cifar10 --picture roofline.svg

        striate bench "[conv3-32 relu maxpool2]*4 gap fc-5" --data photos/ --json
    """
    with loading():
        from striate.jobs.bench import bench

    from striate.cli.show import read_size
    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json, printable
    from striate.cli.train import read_settings
    from striate.report.roofline import refuse_other_formats

    if picture is not None:
        refuse_other_formats(picture)
    chosen = read_settings(settings or [])
    for name, value in (("precision", precision), ("kernels", kernels)):
        if value is None:
            continue
        if value != "auto" and name in chosen:
            raise UsageError(f"--{name} and --set {name}=... are the same", hint="give one of them")
        chosen.setdefault(name, value)
    with TerminalEvents() as events:
        found = bench(
            net,
            data=data,
            input=None if input_size is None else read_size(input_size),
            batch=batch,
            seconds=seconds,
            threads=threads,
            events=events,
            settings=chosen,
        )
    if picture is not None:
        found.draw(picture)
    if as_json:
        print_json(found.to_json() | ({} if picture is None else {"picture": str(picture)}))
        return
    _print_bench(found, layers=layers)
    if picture is not None:
        print(f"picture {printable(str(picture))}")


def _print_bench(found: Bench, *, layers: bool) -> None:
    from rich.console import Console

    from striate.cli.text import printable

    console = Console(highlight=False)
    tops = found.ceilings
    lines = (
        f"{printable(found.processor)}, {_threads(found.threads)}, PyTorch {found.torch}, "
        f"kernels {found.kernels}",
        f"ceilings: fp32 product {_rate(tops.fp32_flop)}FLOP/s, bf16 product "
        f"{_rate(tops.bf16_flop)}FLOP/s, copy {_rate(tops.copy_bytes)}B/s (read and written)",
        "",
        f"a training step of {found.batch:,} images in {found.precision}, "
        f"{_threads(found.step_threads)}, on {printable(found.data or 'made-up images')}:",
        *map(printable, found.net.split("\n")),
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    _print_table(_phase_table(found))
    if layers:
        _print_table(_layer_table(found))
    fastest, slowest = map(_seconds, found.range)
    console.print(
        f"[bold]{found.images_per_second:,.0f} images/s[/bold], median of {found.steps} steps "
        f"({fastest} to {slowest}); the net's products run at {_rate(found.flop_rate)}FLOP/s, "
        f"{found.flop_rate / found.ceiling:.1%} of the {found.precision} ceiling",
        soft_wrap=True,
    )
    compiled = found.kernels not in {"off", "pytorch"}
    if compiled and found.flop_rate > found.ceiling:
        console.print(
            "above 100%: counted are the products of the definition; 3x3 convolutions may be done "
            "with fewer",
            soft_wrap=True,
        )


def _print_table(table: Table) -> None:
    """Print a table; where it is wider than the terminal its lines run over, and none is cut."""
    from rich.console import Console

    console = Console(highlight=False)
    wide = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(highlight=False, width=max(wide, console.width)).print(table)


def _phase_table(found: Bench) -> Table:
    table = _empty("phase", "time", "of the step", "rate", "of the ceiling")
    for phase in found.phases:
        table.add_row(
            phase.name,
            _seconds(phase.seconds),
            f"{phase.seconds / found.seconds:.1%}",
            *_reached(found, phase),
        )
    table.add_section()
    table.add_row("step", _seconds(found.seconds), "100.0%", *_reached(found, found.step))
    return table


def _layer_table(found: Bench) -> Table:
    """The rates of every layer's passes, and their time."""
    names = ("forward", "input gradient", "weight gradient")
    table = _empty("layer", "", *names, "time", "of the step")
    passes = {(part.layer, part.phase.name): part.phase for part in found.layers}
    for name, text in dict.fromkeys((part.layer, part.text) for part in found.layers):
        phases = [passes.get((name, one)) for one in names]
        seconds = sum(phase.seconds for phase in phases if phase is not None)
        table.add_row(
            name,
            text,
            *("" if phase is None else f"{_rate(phase.flop_rate)}FLOP/s" for phase in phases),
            _seconds(seconds),
            f"{seconds / found.seconds:.1%}",
        )
    return table


def _empty(first: str, *heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    return table


def _reached(found: Bench, phase: Phase) -> tuple[str, str]:
    """The rate, and its share of the ceiling that it is measured by."""
    share = found.share_of_ceiling(phase)
    if share is None:
        return "", ""
    if phase.flop:
        return f"{_rate(phase.flop_rate)}FLOP/s", f"{share:.1%} of {found.precision}"
    return f"{_rate(phase.byte_rate)}B/s", f"{share:.1%} of copy"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def _rate(value: float) -> str:
    """With its prefix, before the unit."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if abs(seconds) >= 1 else f"{seconds * 1000:.3g} ms"
