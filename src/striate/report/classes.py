"""The table of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.evaluation import Evaluation, wilson_interval
from striate.report.axes import Scale
from striate.report.facts import Confusion
from striate.report.wording import DASH, number, percent, shortened

BAR = 100  # units of the bar's box


@dataclass(frozen=True)
class ClassRow:
    """A class with its figures as text, as numbers to sort by, and as a bar with its interval."""

    name: str
    precision: str
    recall: str
    f1: str
    support: int
    precision_value: float
    recall_value: float
    f1_value: float
    bar: float
    low: float
    high: float
    interval: str
    taken_for: str


def class_rows(scores: Evaluation, confusions: Sequence[Confusion]) -> tuple[ClassRow, ...]:
    """A row a class, in the order of the classes.

    Args:
        scores: The evaluation.
        confusions: Every pair that is confused, the most frequent first.
    """
    rival: dict[int, Confusion] = {}
    for pair in confusions:
        rival.setdefault(pair.true, pair)
    x = Scale(0, 1, 0, BAR)
    rows = []
    for at, figures in enumerate(scores.classes):
        right = round(figures.recall * figures.support)
        low, high = wilson_interval(right, figures.support) if figures.support else (0.0, 1.0)
        rows.append(
            ClassRow(
                name=shortened(figures.name, 60),
                precision=percent(figures.precision),
                recall=percent(figures.recall) if figures.support else DASH,
                f1=number(figures.f1),
                support=figures.support,
                precision_value=round(figures.precision, 6),
                recall_value=round(figures.recall, 6),
                f1_value=round(figures.f1, 6),
                bar=x(figures.recall),
                low=x(low),
                high=x(high),
                interval=f"{percent(low)} to {percent(high)}" if figures.support else "no images",
                taken_for=_rival(scores, rival.get(at)),
            )
        )
    return tuple(rows)


def _rival(scores: Evaluation, pair: Confusion | None) -> str:
    if pair is None:
        return ""
    return f"{shortened(scores.classes[pair.predicted].name, 32)} ({pair.count})"
