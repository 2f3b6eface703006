"""`striate evaluate`: what a model is worth on images whose classes are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.loading import loading

if TYPE_CHECKING:
    from rich.table import Table

    from striate.evaluation import Evaluation

WIDEST_CONFUSION = 12  # classes; beyond, a terminal has no room
WORST_CONFUSIONS = 10


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run folder or a model file")],
    data: Annotated[
        str | None, typer.Argument(help="Other data; without it, the test images of the run")
    ] = None,
    views: Annotated[
        int,
        typer.Option(
            help="1, 2 (with mirror image), 6 (moved a little) or 10 (crops) views an image"
        ),
    ] = 1,
    unsure: Annotated[
        float,
        typer.Option(
            help="The share of images with more than one view: those the net is least sure of"
        ),
    ] = 1.0,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also take files outside that links lead to")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Measure a model: accuracy with its 95 % interval, loss, calibration, figures by class.

    Examples:
        striate evaluate runs/cifar10-1 --views 2

        striate evaluate runs/cifar10-1 --views 6 --unsure 0.25

        striate evaluate model.safetensors new-photos/ --json
    """
    with loading():
        from striate.jobs.evaluate import evaluate

    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json

    with TerminalEvents() as events:
        found = evaluate(
            run,
            data,
            views=views,
            unsure=unsure,
            device=device,
            follow_links=follow_links,
            progress=events.stored,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _print_evaluation(found)


def _print_evaluation(found: Evaluation) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    low, high = found.interval
    seen = "each" if found.unsure == 1 else f"the {100 * found.unsure:g}% least sure"
    views = "" if found.views == 1 else f", {found.views} views of {seen}"
    console.print(
        f"[bold]accuracy {found.accuracy:.2%}[/bold] (95 % interval {low:.2%} to {high:.2%}) "
        f"on {found.images:,} images{views}",
        soft_wrap=True,
    )
    console.print(
        f"loss {found.loss:.4f}, calibration error {found.ece:.2%} at temperature "
        f"{found.temperature:.3f} (without: {found.loss_uncalibrated:.4f}, "
        f"{found.ece_uncalibrated:.2%})\n",
        soft_wrap=True,
    )
    console.print(_class_table(found))
    mistakes = _confusion_table(found)
    if mistakes is not None:
        console.print()
        console.print(mistakes)


def _class_table(found: Evaluation) -> Table:
    from rich.table import Table
    from rich.text import Text

    from striate.cli.text import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for column in ("precision", "recall", "F1", "images"):
        table.add_column(column, justify="right")
    for figures in found.classes:
        shares = (figures.precision, figures.recall, figures.f1)
        name = Text(printable(figures.name))
        table.add_row(name, *(f"{share:.2%}" for share in shares), f"{figures.support:,}")
    return table


def _confusion_table(found: Evaluation) -> Table | None:
    """The confusion matrix where it fits, else the pairs that are confused most."""
    if len(found.classes) <= WIDEST_CONFUSION:
        return _matrix_table(found)
    return _pairs_table(found)


def _matrix_table(found: Evaluation) -> Table:
    from rich.table import Table
    from rich.text import Text

    from striate.cli.text import printable

    table = Table(
        box=None, pad_edge=False, header_style="bold", title="rows true, columns predicted"
    )
    table.title_justify, table.title_style = "left", "dim"
    table.add_column("")
    names = [printable(figures.name) for figures in found.classes]
    for name in names:
        table.add_column(Text(name[:8]), justify="right")
    for place, (name, row) in enumerate(zip(names, found.confusion, strict=True)):
        cells = [_cell(count, right=place == column) for column, count in enumerate(row)]
        table.add_row(Text(name), *cells)
    return table


def _cell(count: int, *, right: bool) -> str:
    if right:
        return f"[bold]{count:,}[/bold]"
    return f"[red]{count:,}[/red]" if count else "[dim]0[/dim]"


def _pairs_table(found: Evaluation) -> Table | None:
    from rich.table import Table
    from rich.text import Text

    from striate.cli.text import printable

    names = [printable(figures.name) for figures in found.classes]
    pairs = [
        (count, names[true], names[predicted])
        for true, row in enumerate(found.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    if not pairs:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("images", justify="right")
    table.add_column("of class")
    table.add_column("taken for")
    for count, true, predicted in sorted(pairs, key=lambda pair: -pair[0])[:WORST_CONFUSIONS]:
        table.add_row(f"{count:,}", Text(true), Text(predicted))
    return table
