"""The reliability diagram: what the net says of its certainty against how often it is right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from striate.evaluation import reliability_bins, wilson_interval
from striate.report.axes import Scale, Tick
from striate.report.files import Predictions
from striate.report.wording import percent, plural

SIDE = 340
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 40
SMALLEST_DOT, LARGEST_DOT = 3.0, 8.0
BARS = 44  # height of the strip that shows where the images lie


@dataclass(frozen=True)
class Dot:
    """A bin: mean certainty, accuracy, its interval from `top` to `bottom`, a bar for the count."""

    x: float
    y: float
    top: float
    bottom: float
    radius: float
    bar_x: float
    bar_width: float
    bar_height: float
    title: str


@dataclass(frozen=True)
class Diagram:
    """A square chart with a strip of bars below it."""

    summary: str
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = SIDE
    height: int = SIDE + BARS
    left: int = LEFT
    right: int = SIDE - RIGHT
    top: int = TOP
    bottom: int = SIDE - BOTTOM
    floor: int = SIDE - BOTTOM + BARS


def reliability_diagram(predictions: Predictions) -> Diagram | None:
    """The diagram of a split's predictions, or None where there are none."""
    if not len(predictions):
        return None
    bins = bins_of(predictions)
    x, y = Scale(0, 1, LEFT, SIDE - RIGHT), Scale(0, 1, SIDE - BOTTOM, TOP)
    most = max(images for _, _, images in bins)
    dots = tuple(
        _dot(at, figures, x=x, y=y, bins=len(bins), most=most)
        for at, figures in enumerate(bins)
        if figures[2]
    )
    values = [tenth / 5 for tenth in range(6)]
    return Diagram(
        summary=f"Certainty against accuracy, in {plural(len(dots), 'bin')} that hold images. "
        + " ".join(f"{dot.title}." for dot in dots),
        dots=dots,
        ticks=tuple(Tick(x(value), f"{value * 100:.0f}%") for value in values),
        y_ticks=tuple(Tick(y(value), f"{value * 100:.0f}%") for value in values),
    )


def bins_of(predictions: Predictions) -> list[tuple[float, float, int]]:
    """Mean certainty, accuracy and count of images of each bin, empty ones included."""
    # The room of evaluation takes a row of probabilities an image and looks at the largest only.
    stated = np.stack([predictions.probability, np.full(len(predictions), -1.0)], axis=1)
    return reliability_bins(stated, predictions.wrong.astype(np.int64))


def calibration_noise(predictions: Predictions) -> float:
    """The calibration error that a net whose probabilities are exactly true would show by chance.

    In a bin of n images of certainty c, the accuracy of such a net strays from c by
    sqrt(2 c (1 - c) / (pi n)) on average (the mean absolute deviation of a normal distribution).
    """
    images = len(predictions)
    return sum(
        count / images * math.sqrt(2 * max(0.0, sure * (1 - sure)) / (math.pi * count))
        for sure, _, count in (bins_of(predictions) if images else [])
        if count
    )


def _dot(
    at: int, figures: tuple[float, float, int], *, x: Scale, y: Scale, bins: int, most: int
) -> Dot:
    certainty, accuracy, images = figures
    low, high = wilson_interval(round(accuracy * images), images)
    share = math.sqrt(images / most)
    return Dot(
        x=x(certainty),
        y=y(accuracy),
        top=y(high),
        bottom=y(low),
        radius=round(SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * share, 2),
        bar_x=x(at / bins),
        bar_width=round(x((at + 1) / bins) - x(at / bins) - 1, 2),
        bar_height=max(1.0, round(images / most * (BARS - 6), 2)),
        title=f"{plural(images, 'image')}: says {percent(certainty)}, is right {percent(accuracy)}",
    )
