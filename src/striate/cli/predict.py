"""`striate predict`: labels and calibrated probabilities for new images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.loading import loading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.table import Table

    from striate.model import Prediction, Unreadable

SHOWN = 3  # classes in a row of the table
SMALLEST = 0.0005  # probability; what is less would be printed as 0.0 %
DATA_STATUS = 3
WIDE = 10_000  # columns: more than any path has


def command(
    model: Annotated[Path, typer.Argument(help="A model file or a run folder")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders with images in them")],
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Also write all probabilities to this file"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Name the class of each image, with its calibrated probability.

    An image that cannot be read does not stop the rest; the exit status is 3 in the end.

    Examples:
        striate predict runs/digits-1 photo.jpg

        striate predict model.safetensors photos/ --csv labels.csv
    """
    with loading():
        from striate.jobs.predict import iterate_predictions, open_model

    from striate.cli.text import print_json, printable

    opened = open_model(model, device=device)
    predictions: Iterable[Prediction | Unreadable] = iterate_predictions(opened, images)
    if csv_file is not None:
        predictions = _written(predictions, csv_file, opened.classes)
    found = list(predictions)
    failed = [entry for entry in found if not hasattr(entry, "label")]
    if as_json:
        print_json({"predictions": [entry.to_json() for entry in found]})
    else:
        _print_table(found)
    if not found:
        typer.echo("striate: no images were found", err=True)
    for entry in failed:
        typer.echo(f"striate: {printable(str(entry.path))}: {entry.error}", err=True)
    if failed or not found:
        raise typer.Exit(DATA_STATUS)


def _written(
    predictions: Iterable[Prediction | Unreadable], path: Path, classes: tuple[str, ...]
) -> Iterator[Prediction | Unreadable]:
    """Pass predictions on, and write each as a line: path, label, probability, error, classes."""
    import csv
    import io

    from striate.model import atomic_file

    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("path", "label", "probability", "error", *classes))
        for prediction in predictions:
            row = prediction.to_json()
            values = row.get("probabilities", {})
            head = (row["path"], row.get("label", ""), row.get("probability", ""))
            writer.writerow((*head, row.get("error", ""), *(values.get(c, "") for c in classes)))
            yield prediction
        text.flush()
        text.detach()


def _print_table(found: list[Prediction | Unreadable]) -> None:
    from rich.console import Console

    if found:
        # into a file or a pipe every row is one line, however long its name
        width = None if sys.stdout.isatty() else WIDE
        Console(highlight=False, width=width).print(_table(found))


def _table(found: list[Prediction | Unreadable]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from striate.cli.text import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("class", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("next", style="dim")
    for entry in found:
        row = entry.to_json()
        name = Text(printable(str(row["path"])))
        if "error" in row:
            table.add_row(name, Text("unreadable", style="red"), "", Text(row["error"]))
            continue
        ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])[1:SHOWN]
        likely = [(other, share) for other, share in ranked if share >= SMALLEST]
        others = ", ".join(f"{printable(other)} {share:.1%}" for other, share in likely)
        table.add_row(
            name, Text(printable(row["label"])), f"{row['probability']:.1%}", Text(others)
        )
    return table
