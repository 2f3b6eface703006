"""The strip under the headline: guessing, one fixed answer and the net on one axis of accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from striate.report.facts import Facts
from striate.report.wording import percent

NEAR = 0.02
NARROWEST = 0.5  # percent of the axis; a narrower interval could not be seen


@dataclass(frozen=True)
class StripMark:
    """A labelled place on the axis, in percent of its length; `anchor` as in SVG."""

    at: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Strip:
    """Places on the axis from 0 to 100 %, all in percent of its length."""

    references: tuple[StripMark, ...]
    net: StripMark
    low: float
    width: float
    summary: str


def accuracy_strip(facts: Facts) -> Strip | None:
    """The strip, or None where nothing was evaluated."""
    if facts.scores is None or facts.majority is None:
        return None
    low, high = (100 * bound for bound in facts.scores.interval)
    widen = max(0.0, NARROWEST - (high - low)) / 2
    return Strip(
        references=_references(facts.chance, facts.majority[1]),
        net=_mark(facts.scores.accuracy, f"{percent(low / 100)} to {percent(high / 100)}"),
        low=round(low - widen, 3),
        width=round(high - low + 2 * widen, 3),
        summary=(
            f"On an axis from 0 to 100 %: guessing {percent(facts.chance)}, one fixed answer "
            f"{percent(facts.majority[1])}, the net {percent(facts.scores.accuracy)}, its interval "
            f"from {percent(low / 100)} to {percent(high / 100)}."
        ),
    )


def _references(chance: float, majority: float) -> tuple[StripMark, ...]:
    """Guessing and one fixed answer; as one mark where they are too near to be told apart."""
    if majority - chance < NEAR:
        both = f"guessing {percent(chance)}, one fixed answer {percent(majority)}"
        return (_mark(majority, both),)
    return (
        _mark(chance, f"guessing {percent(chance)}"),
        _mark(majority, f"one fixed answer {percent(majority)}"),
    )


def _mark(share: float, label: str) -> StripMark:
    """Labels lean inwards, so that none leaves the strip."""
    return StripMark(round(100 * share, 3), label, "start" if share < 0.6 else "end")
