"""How a finished run is shown on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from striate.cli.text import format_seconds, printable

if TYPE_CHECKING:
    from striate.jobs.run import Run


def print_run(run: Run) -> None:
    """Print what a training gave: accuracy with interval, time, and where the files are."""
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, document in (("test", run.test), ("validation", run.validation)):
        if document is not None:
            table.add_row(f"{name} accuracy", _accuracy(document))
    ended = {"patience": ", stopped early", "time": ", stopped by the time"}.get(run.stopped, "")
    table.add_row(
        "training",
        f"{format_seconds(run.seconds)}, {run.epochs} epochs{ended}, "
        f"{run.images_per_second:,.0f} images/s",
    )
    table.add_row("model", printable(str(run.model)))
    table.add_row("report", printable(str(run.report)))
    console.print(table)


def _accuracy(document: dict[str, Any]) -> str:
    low, high = document["interval"]
    views = "" if document["views"] == 1 else f", {document['views']} views"
    return (
        f"[bold]{document['accuracy']:.2%}[/]  (95 % interval {low:.2%} to {high:.2%}, "
        f"{document['images']:,} images{views})"
    )
