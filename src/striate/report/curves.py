"""Learning curves: the geometry of two line charts; the templates draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from striate.report.axes import Scale, Tick, round_ticks, tick_label
from striate.report.files import Point
from striate.report.verdict import best_point
from striate.report.wording import number, percent

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 78, 14, 40
MOST_MARKS = 120  # hover marks a curve; more would lie on top of each other
LABEL_GAP = 15  # between two labels at the ends of curves

UNCHANGED = {
    "flip": "none",
    "translate": 0,
    "crop": 1.0,
    "rotate": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "cutout": 0,
}  # the settings of `augment` that leave an image as it is

Value = Callable[[Point], float | None]


@dataclass(frozen=True)
class Mark:
    """A point of a curve, and what is shown when it is pointed at."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Series:
    """A curve: SVG path, marks, and where its name stands."""

    name: str
    role: str
    path: str
    marks: tuple[Mark, ...]
    label_y: float


@dataclass(frozen=True)
class Chart:
    """A line chart in a box of WIDTH x HEIGHT; `summary` is for those who hear it."""

    title: str
    summary: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    level: Tick | None = None
    best_x: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def learning_curves(
    points: tuple[Point, ...], *, baseline: float | None
) -> tuple[Chart | None, Chart | None]:
    """The charts of loss and of accuracy by epoch.

    Args:
        points: The lines of `metrics.jsonl`.
        baseline: The accuracy of always giving one answer, drawn where it is in view.

    Returns:
        Loss and accuracy; None where there is no figure to draw.
    """
    loss = _chart(
        "Loss",
        points,
        (("training", lambda p: p.train_loss), ("validation", lambda p: p.validation_loss)),
        describe=number,
        floor=None,
    )
    accuracy = _chart(
        "Accuracy",
        points,
        (
            ("training", lambda p: p.train_accuracy),
            ("validation", lambda p: p.validation_accuracy),
        ),
        describe=percent,
        floor=baseline,
    )
    return loss, accuracy


def curve_note(points: tuple[Point, ...], recipe: Mapping[str, Any]) -> str:
    """What one must know to read the curves."""
    parts = []
    best = best_point(points)
    if best is not None and len(points) > 1:
        parts.append(
            f"The upright line marks epoch {best.epoch:g}, where the validation loss was lowest: "
            "its weights are kept."
        )
    smoothing = recipe.get("loss", {}).get("label_smoothing", 0)
    smoothed = f", with labels smoothed by {smoothing:g}" if smoothing else ""
    augmented = ", of augmented images" if is_augmented(recipe.get("augment", {})) else ""
    parts.append(
        f"Training figures are means over an epoch of a net that is changing{augmented}{smoothed}: "
        "they may well be worse than those of validation."
    )
    if len({point.restart for point in points}) > 1:
        parts.append("Each random start has a curve of its own.")
    return " ".join(parts)


def is_augmented(augment: Mapping[str, Any]) -> bool:
    """Whether a recipe's `augment` section changes the images."""
    return any(augment.get(name, nothing) != nothing for name, nothing in UNCHANGED.items())


def _chart(
    title: str,
    points: tuple[Point, ...],
    curves: Sequence[tuple[str, Value]],
    *,
    describe: Callable[[float | None], str],
    floor: float | None,
) -> Chart | None:
    values = [v for _, value in curves for p in points if (v := value(p)) is not None]
    if not values:
        return None
    levels = _levels(title, values)
    last = max(1.0, *(point.epoch for point in points))
    epochs = [tick for tick in round_ticks(0, last) if tick <= last and tick == round(tick)]
    x = Scale(0, last, LEFT, WIDTH - RIGHT)
    y = Scale(levels[0], levels[-1], HEIGHT - BOTTOM, TOP)
    series = [_series(name, value, points, x, y, describe) for name, value in curves]
    drawn = _spread([curve for curve in series if curve is not None])
    level = None
    if floor is not None and y.low < floor < y.high:
        level = Tick(y(floor), f"one fixed answer: {percent(floor)}")
    best = best_point(points)
    return Chart(
        title=title,
        summary=_summary(title, points, curves, describe),
        x_ticks=_ticks(epochs, x, tick_label),
        y_ticks=_ticks(levels, y, _y_label(title)),
        series=tuple(drawn),
        level=level,
        best_x=None if best is None or len(points) < 2 else x(best.epoch),
    )


def _y_label(title: str) -> Callable[[float, float], str]:
    if title == "Accuracy":
        return lambda value, step: f"{tick_label(value * 100, step * 100)}%"
    return tick_label


def _ticks(
    values: Sequence[float], scale: Scale, label: Callable[[float, float], str]
) -> tuple[Tick, ...]:
    step = values[1] - values[0]
    return tuple(Tick(scale(value), label(value, step)) for value in values)


def _levels(title: str, values: Sequence[float]) -> tuple[float, ...]:
    """Round levels around the values; an accuracy never leaves 0 to 1."""
    levels = round_ticks(min(values), max(values))
    if title != "Accuracy":
        return levels
    levels = tuple(level for level in levels if 0 <= level <= 1)
    return levels if len(levels) > 1 else round_ticks(0, 1)


def _series(
    name: str,
    value: Value,
    points: Sequence[Point],
    x: Scale,
    y: Scale,
    describe: Callable[[float | None], str],
) -> Series | None:
    pieces = []
    marks: list[Mark] = []
    for _, attempt in groupby(points, key=lambda point: point.restart):
        pen = "M"
        for point in attempt:
            figure = value(point)
            if figure is None:
                pen = "M"  # a gap
                continue
            pieces.append(f"{pen}{x(point.epoch)} {y(figure)}")
            pen = "L"
            title = f"epoch {point.epoch:g}: {describe(figure)} {name} (line {point.line})"
            marks.append(Mark(x(point.epoch), y(figure), title))
    if not marks:
        return None
    return Series(
        name=name,
        role=name,
        path=" ".join(pieces),
        marks=_thinned(marks),
        label_y=marks[-1].y,
    )


def _thinned(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    stride = -(-len(marks) // MOST_MARKS)
    kept = list(marks[::stride])
    if kept[-1] is not marks[-1]:
        kept.append(marks[-1])
    return tuple(kept)


def _spread(series: Sequence[Series]) -> list[Series]:
    """Move the names at the ends apart where they would touch."""
    spread: list[Series] = []
    lowest = float(TOP - LABEL_GAP)
    for curve in sorted(series, key=lambda one: one.label_y):
        at = max(curve.label_y, lowest + LABEL_GAP)
        spread.append(Series(curve.name, curve.role, curve.path, curve.marks, at))
        lowest = at
    return spread


def _summary(
    title: str,
    points: Sequence[Point],
    curves: Sequence[tuple[str, Value]],
    describe: Callable[[float | None], str],
) -> str:
    parts = []
    for name, value in curves:
        figures = [figure for point in points if (figure := value(point)) is not None]
        if figures:
            parts.append(f"{name} from {describe(figures[0])} to {describe(figures[-1])}")
    return f"{title} by epoch: {'; '.join(parts)}."
