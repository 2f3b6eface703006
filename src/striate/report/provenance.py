"""Where everything comes from: the run's setting in full, and the source of each figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from striate.model import MODEL_NAME
from striate.report.files import RunFiles, line_of
from striate.report.wording import DASH, by, count, shortened

LONGEST_VALUE = 2000


@dataclass(frozen=True)
class Source:
    """Where a figure of the page stands: file, line or lines, and the name there."""

    figure: str
    file: str
    lines: str
    place: str


@dataclass(frozen=True)
class Provenance:
    """Tables of names and values, each under a heading, and the sources."""

    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    sources: tuple[Source, ...]


def trace(files: RunFiles) -> dict[str, Source]:
    """The source of each section's figures, by the section's name."""
    split = files.split or "test"
    points = _lines([point.line for point in files.points])
    rows = _lines(files.predictions.lines.tolist())
    evaluation, run = "evaluation.json", "run.json"
    return {
        "accuracy": _json(files, "Accuracy and interval", evaluation, split, "accuracy"),
        "curves": Source("Learning curves", "metrics.jsonl", points, ""),
        "classes": _json(files, "Table of classes", evaluation, split, "classes"),
        "confusion": _json(files, "Confusion matrix", evaluation, split, "confusion"),
        "images": Source(
            "Images", "predictions.csv", rows, f"split {split}; each image names its line"
        ),
        "calibration": Source(
            "Reliability diagram", "predictions.csv", rows, f"probability, split {split}"
        ),
        "ece": _json(files, "Calibration error", evaluation, split, "ece"),
        "problems": _json(files, "The data's problems", run, "data", "problems"),
        "filters": Source("Filters", MODEL_NAME, "", "weights of the first layer"),
        "net": _json(files, "Net", run, "net"),
    }


def _lines(numbers: list[int]) -> str:
    return f"lines {min(numbers)}{DASH}{max(numbers)}" if numbers else ""


def _json(files: RunFiles, figure: str, name: str, *keys: str) -> Source:
    path = files.path / name
    line = line_of(path, *keys) if path.is_file() else None
    return Source(figure, name, "" if line is None else f"line {count(line)}", ".".join(keys))


def provenance(files: RunFiles) -> Provenance:
    """Everything needed to make the run again."""
    run = files.run
    run_rows = {
        "run": files.name,
        "created": run.created,
        "status": run.status,
        "seed": run.seed,
        "device": run.device,
        "precision": run.precision,
        "threads": run.threads,
    }
    data_rows = {
        "name": run.data.name,
        "source": run.data.source,
        "size": by(run.data.size),
        "train": run.data.counts.train,
        "validation": run.data.counts.validation,
        "test": run.data.counts.test,
        "manifest SHA-256": run.data.manifest_hash,
    }
    hashes = {
        source.name: f"{source.sha256} ({count(source.bytes)} bytes)" for source in files.sources
    }
    tables: dict[str, Mapping[str, Any]] = {
        "Run": run_rows,
        "Data": data_rows,
        "Weights to start from": run.weights or {},
        "Recipe": dict(flatten(run.recipe)),
        "Machine": run.machine,
        "Versions": run.versions,
        "Files, SHA-256": hashes,
    }
    return Provenance(
        tables=tuple((title, _text_rows(rows)) for title, rows in tables.items() if rows),
        sources=tuple(trace(files).values()),
    )


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings under the dotted names that `--set` takes.

    >>> dict(flatten({"epochs": 8, "optimizer": {"lr": 0.1}}))
    {'epochs': 8, 'optimizer.lr': 0.1}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text_rows(rows: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (shortened(str(name)), shortened(str(value), LONGEST_VALUE))
        for name, value in rows.items()
        if value is not None
    )
