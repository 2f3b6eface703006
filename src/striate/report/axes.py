"""Where figures lie on a chart: scales and round ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

FINEST = 1e-9  # of the figures' size; nearer ones count as equal
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear map from data to the chart's units.

    Examples:
        >>> Scale(0.0, 10.0, 100.0, 0.0)(2.5)
        75.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 2)


@dataclass(frozen=True)
class Tick:
    """A place on an axis, with what is written there."""

    at: float
    label: str


def round_ticks(low: float, high: float, *, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers from `low` to `high`; the ends lie within them.

    >>> round_ticks(0.13, 0.92)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    >>> round_ticks(0, 3, count=5)
    (0.0, 1.0, 2.0, 3.0)
    """
    size = max(1.0, abs(low), abs(high))
    span = high - low if high - low > FINEST * size else size
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * magnitude for s in STEPS if s * magnitude * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        last += 1
    return tuple(round(at * step, 12) for at in range(first, last + 1))


def tick_label(value: float, step: float) -> str:
    """A tick's number with the decimals that its step needs.

    >>> tick_label(0.5, 0.25), tick_label(2.0, 1.0)
    ('0.50', '2')
    """
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if round(step, digits) != round(step, 12):
        digits += 1
    return f"{value:.{digits}f}"
