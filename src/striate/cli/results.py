"""How a finished run is shown on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from striate.cli.text import format_seconds, printable

if TYPE_CHECKING:
    from striate.jobs.run import Run


def print_run(run: Run) -> None:
    """Print what a training gave: accuracy with interval, time, and where the files are."""
    rows = [
        (f"{name} accuracy", _accuracy(document))
        for name, document in (("test", run.test), ("validation", run.validation))
        if document is not None
    ]
    ended = {"patience": ", stopped early", "time": ", stopped by the time"}.get(run.stopped, "")
    epochs = f"{run.epochs} epoch{'s' * (run.epochs != 1)}{ended}"
    speed = f"{run.images_per_second:,.0f} images/s"
    rows += [
        ("training", Text(f"{format_seconds(run.seconds)}, {epochs}, {speed}")),
        ("model", Text(printable(str(run.model)))),
        ("report", Text(printable(str(run.report)))),
    ]
    width = max(len(name) for name, _ in rows)
    console = Console(highlight=False)
    for name, text in rows:
        # not a table, which would break a long path into lines
        console.print(Text(f"{name:{width}}  ").append_text(text), soft_wrap=True)


def _accuracy(document: dict[str, Any]) -> Text:
    low, high = document["interval"]
    views = "" if document["views"] == 1 else f", {document['views']} views"
    return Text(f"{document['accuracy']:.2%}", style="bold").append(
        f"  (95 % interval {low:.2%} to {high:.2%}, {document['images']:,} images{views})",
        style="not bold",
    )
