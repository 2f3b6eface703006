"""What a run folder holds, read once and checked at this boundary."""

from __future__ import annotations

import csv
import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from striate.errors import ModelError
from striate.evaluation import Evaluation
from striate.model import read_document
from striate.training.folder import read_measurements, read_run

REPORT_NAME = "report.html"
SOURCES = (
    "run.json",
    "metrics.jsonl",
    "predictions.csv",
    "evaluation.json",
    "split.csv",
    "model.safetensors",
)
LARGEST_EVALUATION = 200_000_000  # bytes: a confusion matrix of 1000 x 1000 takes about 7 MB
LARGEST_PREDICTIONS = 2_000_000_000  # bytes

Split = Literal["test", "validation"]
Record = TypeVar("Record", bound=BaseModel)


class _Document(BaseModel):
    """Fields that the report does not know are for other readers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Evaluations(_Document):
    """`evaluation.json`."""

    validation: Evaluation | None = None
    test: Evaluation | None = None


class ProblemRecord(_Document):
    """A problem of the data, its kind named as in the data check."""

    kind: str
    paths: tuple[str, ...] = ()
    message: str = ""


class Counts(_Document):
    """Images in each split."""

    train: int = 0
    validation: int = 0
    test: int = 0


class DataRecord(_Document):
    """What `run.json` says of the data; `size` is height, width, channels."""

    name: str
    source: str | None = None
    manifest_hash: str
    classes: tuple[str, ...]
    counts: Counts
    size: tuple[int, int, int]
    problems: tuple[ProblemRecord, ...] = ()


def _one_line(command: object) -> object:
    return shlex.join(command) if isinstance(command, list) else command


class RunRecord(_Document):
    """`run.json`."""

    created: str
    command: Annotated[str | None, BeforeValidator(_one_line)] = None
    data: DataRecord
    net: str
    recipe: dict[str, Any]
    seed: int
    device: str
    precision: str
    threads: int | None = None
    weights: dict[str, Any] | None = None
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    status: str = "finished"
    result: dict[str, Any] | None = None


class Point(_Document):
    """A line of `metrics.jsonl`, and its number in the file; a figure that is no number is None."""

    line: int
    epoch: float
    restart: int = 0
    seconds: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    learning_rate: float | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class Predictions:
    """The rows of `predictions.csv` for one split; all arrays have shape (N,).

    `labels` and `predicted` are positions in the classes; `indices` are positions in the data;
    `lines` are line numbers in the file.
    """

    names: tuple[str, ...]
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    label_probability: NDArray[np.float64]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which are mistakes."""
        return np.not_equal(self.predicted, self.labels)


@dataclass(frozen=True)
class SourceFile:
    """A file of the run, as it was when the report was made."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RunFiles:
    """All that the report takes from the run folder.

    `split` is the one that the report speaks of: the test split, else validation, else none.
    """

    path: Path
    name: str
    run: RunRecord
    points: tuple[Point, ...]
    split: Split | None
    scores: Evaluation | None
    predictions: Predictions
    sources: tuple[SourceFile, ...]


def read_files(path: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        ModelError: If a file is missing, damaged or contradicts another.
    """
    run = _checked(RunRecord, read_run(path), path / "run.json")
    evaluations = _read_evaluations(path / "evaluation.json")
    split: Split | None = (
        "test" if evaluations.test else "validation" if evaluations.validation else None
    )
    scores = evaluations.test or evaluations.validation
    if scores is not None:
        _check_shape(scores, run, path / "evaluation.json")
    return RunFiles(
        path=path,
        name=path.resolve().name,
        run=run,
        points=_read_points(path),
        split=split,
        scores=scores,
        predictions=_read_predictions(path / "predictions.csv", run.data.classes, split),
        sources=tuple(_source(path / name) for name in SOURCES if (path / name).is_file()),
    )


def _check_shape(scores: Evaluation, run: RunRecord, path: Path) -> None:
    classes = len(run.data.classes)
    rows = {len(scores.classes), len(scores.confusion), *map(len, scores.confusion)}
    if rows != {classes} or scores.images < 1:
        raise ModelError(
            f"does not fit the {classes} classes of run.json",
            path=path,
            hint="evaluate the run again",
        )


def _checked(kind: type[Record], document: dict[str, Any], path: Path) -> Record:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{place}: {first['msg']}", path=path) from error


def _read_evaluations(path: Path) -> Evaluations:
    if not path.is_file():
        return Evaluations()
    document = read_document(path, max_bytes=LARGEST_EVALUATION)
    return _checked(Evaluations, document, path)


def _read_points(path: Path) -> tuple[Point, ...]:
    file = path / "metrics.jsonl"
    lines = enumerate(read_measurements(path), start=1)
    return tuple(_checked(Point, {**_finite(line), "line": at}, file) for at, line in lines)


def _finite(line: dict[str, Any]) -> dict[str, Any]:
    """JSON as Python writes it may hold NaN and Infinity; a curve has a gap there."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in line.items()
    }


def _read_predictions(path: Path, classes: tuple[str, ...], split: Split | None) -> Predictions:
    rows: list[tuple[str, int, int, int, float, float, int]] = []
    if path.is_file() and split is not None:
        if path.stat().st_size > LARGEST_PREDICTIONS:
            raise ModelError("is larger than predictions can be", path=path)
        positions = {name: position for position, name in enumerate(classes)}
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            try:
                rows = [
                    _row(row, positions, reader.line_num) for row in reader if row["split"] == split
                ]
            except (KeyError, TypeError, ValueError, csv.Error) as error:
                raise ModelError(
                    f"line {reader.line_num} is no prediction",
                    path=path,
                    hint="evaluate the run again",
                ) from error
    return _columns(rows)


def _row(
    row: dict[str, str], positions: dict[str, int], line: int
) -> tuple[str, int, int, int, float, float, int]:
    return (
        row["name"],
        int(row["index"]),
        positions[row["label"]],
        positions[row["predicted"]],
        float(row["probability"]),
        float(row["label_probability"]),
        line,
    )


def _columns(rows: list[tuple[str, int, int, int, float, float, int]]) -> Predictions:
    names, indices, labels, predicted, probability, label_probability, lines = (
        zip(*rows, strict=True) if rows else ((),) * 7
    )
    return Predictions(
        names=tuple(names),
        indices=np.asarray(indices, dtype=np.int64),
        labels=np.asarray(labels, dtype=np.int64),
        predicted=np.asarray(predicted, dtype=np.int64),
        probability=np.asarray(probability, dtype=np.float64),
        label_probability=np.asarray(label_probability, dtype=np.float64),
        lines=np.asarray(lines, dtype=np.int64),
    )


def _source(path: Path) -> SourceFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest)


def line_of(path: Path, *keys: str) -> int | None:
    """The line of a key in an indented JSON file, or None where it cannot be told.

    Each key is looked for one level deeper than the one before it, and after it.
    """
    wanted = list(keys)
    patterns = [
        re.compile(rf'\s{{{depth}}}"{re.escape(key)}":')
        for depth, key in enumerate(wanted, start=1)
    ]
    with path.open(encoding="utf-8", errors="replace") as file:
        for at, text in enumerate(file, start=1):
            if patterns[0].match(text):
                patterns.pop(0)
                if not patterns:
                    return at
    return None
