"""The learning rate over a run, as a factor of the rate that the recipe names."""

from __future__ import annotations

import math

from striate.training.sections import Schedule

FIRST = 1 / 25  # where a warm-up begins (Smith & Topin, 2018): at 0 the first step would be wasted
ONE_CYCLE_WARMUP = 0.3
INVERSE_SPAN = 99.0  # `inverse` divides by t^power, with t from 1 to 100 over the run


def schedule_factor(schedule: Schedule, progress: float) -> float:
    """Give the factor at a place in the run.

    Over the first `warmup` of the run it rises linearly from 1/25 to 1. Then:

    - `constant` stays at 1.
    - `linear` and `cosine` fall to `floor` at the end.
    - `one_cycle` rises over the first 0.3 where no `warmup` is given, and falls as `cosine`.
    - `step` is multiplied by `factor` at each of the `milestones`, shares of the whole run.
    - `inverse` falls as 1 / t^power, t growing from 1 to 100.

    `floor` is the lowest value that any of them reaches.

    Args:
        schedule: The recipe's section.
        progress: The share of the run that is done, 0 to 1; beyond 1 counts as 1.

    >>> schedule_factor(Schedule(name="linear"), 0.25)
    0.75
    """
    progress = min(1.0, max(0.0, progress))
    warmup = schedule.warmup
    if schedule.name == "one_cycle" and warmup == 0:
        warmup = ONE_CYCLE_WARMUP
    if progress < warmup:
        return FIRST + (1 - FIRST) * progress / warmup
    after = (progress - warmup) / (1 - warmup)
    match schedule.name:
        case "constant":
            return 1.0
        case "linear":
            return _above(schedule.floor, 1 - after)
        case "cosine" | "one_cycle":
            return _above(schedule.floor, (1 + math.cos(math.pi * after)) / 2)
        case "step":
            passed = sum(progress >= milestone for milestone in schedule.milestones)
            return max(schedule.floor, schedule.factor**passed)
        case "inverse":
            return max(schedule.floor, math.pow(1 + INVERSE_SPAN * after, -schedule.power))


def _above(floor: float, share: float) -> float:
    return floor + (1 - floor) * share
