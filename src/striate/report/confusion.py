"""The confusion matrix: which classes to show, how dark each cell is, and the images behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.evaluation import Evaluation
from striate.report.facts import Confusion
from striate.report.gallery import Curator, Exhibit
from striate.report.wording import count, percent, plural, shortened

MOST_CLASSES = 24  # rows of the matrix; with more, only the most confused classes are shown
PER_CELL = 12  # images behind a cell
MOST_PAIRS = 10  # in the list beside the matrix
SHADES = 9


@dataclass(frozen=True)
class Cell:
    """A cell; `key` is the name of its panel, empty where no image is behind it."""

    key: str
    count: int
    shade: int
    right: bool
    label: str


@dataclass(frozen=True)
class Row:
    """A true class with its cells."""

    name: str
    support: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Panel:
    """What opens when a cell is pressed."""

    key: str
    true: str
    predicted: str
    right: bool
    exhibits: tuple[Exhibit, ...]
    total: int


@dataclass(frozen=True)
class Pair:
    """Two classes taken for each other, and the panel that shows how."""

    true: str
    predicted: str
    count: int
    share: str
    key: str


@dataclass(frozen=True)
class Matrix:
    """The matrix over the shown classes; `hidden` classes are left out of it."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    panels: tuple[Panel, ...]
    pairs: tuple[Pair, ...]
    hidden: int
    mistakes: int
    mistakes_shown: int


def confusion_matrix(
    scores: Evaluation, confusions: Sequence[Confusion], curator: Curator
) -> Matrix:
    """Lay out the matrix.

    Args:
        scores: Of the split that the curator's predictions are of.
        confusions: Every pair that is confused, the most frequent first.
        curator: Makes the exhibits.
    """
    counts = np.asarray(scores.confusion, dtype=np.int64)
    shown = shown_classes(len(counts), confusions)
    names = tuple(shortened(scores.classes[at].name, 32) for at in shown)
    part = counts[np.ix_(shown, shown)]
    panels = _panels(part, shown, names, curator)
    keys = {panel.key for panel in panels}
    return Matrix(
        names=names,
        rows=tuple(
            _row(at, part, counts[shown[at]].sum(), names, keys) for at in range(len(shown))
        ),
        panels=panels,
        pairs=_pairs(scores, confusions, shown, keys),
        hidden=len(counts) - len(shown),
        mistakes=int(counts.sum() - np.trace(counts)),
        mistakes_shown=int(part.sum() - np.trace(part)),
    )


def shown_classes(classes: int, confusions: Sequence[Confusion]) -> list[int]:
    """The classes of the matrix: all, or those of the most frequent confusions, in their order."""
    if classes <= MOST_CLASSES:
        return list(range(classes))
    chosen: set[int] = set()
    for pair in confusions:
        if len(chosen | {pair.true, pair.predicted}) > MOST_CLASSES:
            break
        chosen |= {pair.true, pair.predicted}
    for position in range(classes):
        if len(chosen) == MOST_CLASSES:
            break
        chosen.add(position)
    return sorted(chosen)


def _key(row: int, column: int) -> str:
    return f"cell-{row}-{column}"


def _row(
    row: int, part: NDArray[np.int64], support: int, names: Sequence[str], keys: set[str]
) -> Row:
    cells = []
    for column, number in enumerate(part[row].tolist()):
        key = _key(row, column)
        share = number / support if support else 0.0
        cells.append(
            Cell(
                key=key if key in keys else "",
                count=number,
                shade=shade(share),
                right=row == column,
                label=f"{names[row]} taken for {names[column]}: {count(number)} of {count(support)}"
                if row != column
                else f"{names[row]} named rightly: {count(number)} of {count(support)}",
            )
        )
    return Row(name=names[row], support=int(support), cells=tuple(cells))


def shade(share: float) -> int:
    """From 0 (nothing) to SHADES (all); by the square root, so that a few mistakes are seen."""
    return 0 if share <= 0 else max(1, math.ceil(math.sqrt(share) * SHADES - 1e-9))


def _panels(
    part: NDArray[np.int64], shown: Sequence[int], names: Sequence[str], curator: Curator
) -> tuple[Panel, ...]:
    """One panel a cell with images, pictures dealt out in rounds so that no cell takes them all."""
    rows_of = _rows_of(shown, curator)
    cells = [(r, c) for r, c in zip(*(axis.tolist() for axis in np.nonzero(part)), strict=True)]
    cells = [cell for cell in cells if cell in rows_of]
    cells.sort(key=lambda cell: (cell[0] == cell[1], -part[cell]))
    exhibits: dict[tuple[int, int], list[Exhibit]] = {cell: [] for cell in cells}
    for turn in range(PER_CELL):
        for cell in cells:
            if turn < len(rows_of[cell]):
                exhibits[cell].append(curator.exhibit(rows_of[cell][turn]))
    return tuple(
        Panel(
            key=_key(*cell),
            true=names[cell[0]],
            predicted=names[cell[1]],
            right=cell[0] == cell[1],
            exhibits=tuple(exhibits[cell]),
            total=int(part[cell]),
        )
        for cell in sorted(cells)
    )


def _rows_of(shown: Sequence[int], curator: Curator) -> dict[tuple[int, int], list[int]]:
    """The predictions behind each cell: the surest mistakes, or the least sure right answers."""
    position = {label: at for at, label in enumerate(shown)}
    predictions = curator.predictions
    certainty = np.where(predictions.wrong, -predictions.probability, predictions.probability)
    behind: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(certainty, kind="stable").tolist():
        true, predicted = int(predictions.labels[row]), int(predictions.predicted[row])
        if true in position and predicted in position:
            cell = behind.setdefault((position[true], position[predicted]), [])
            if len(cell) < PER_CELL:
                cell.append(row)
    return behind


def _pairs(
    scores: Evaluation, confusions: Sequence[Confusion], shown: Sequence[int], keys: set[str]
) -> tuple[Pair, ...]:
    position = {label: at for at, label in enumerate(shown)}
    pairs = []
    for pair in confusions[:MOST_PAIRS]:
        key = ""
        if pair.true in position and pair.predicted in position:
            key = _key(position[pair.true], position[pair.predicted])
        pairs.append(
            Pair(
                true=shortened(scores.classes[pair.true].name, 32),
                predicted=shortened(scores.classes[pair.predicted].name, 32),
                count=pair.count,
                share=percent(pair.count / pair.support) if pair.support else percent(0.0),
                key=key if key in keys else "",
            )
        )
    return tuple(pairs)


def describe_matrix(matrix: Matrix) -> str:
    """What the matrix leaves out, or an empty text."""
    if not matrix.hidden:
        return ""
    return (
        f"Shown are the {len(matrix.names)} most confused classes; "
        f"{plural(matrix.hidden, 'other class', 'other classes')} and "
        f"{plural(matrix.mistakes - matrix.mistakes_shown, 'mistake')} with them are left out."
    )
