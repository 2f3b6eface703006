"""How sure a counted share is."""

import math
from statistics import NormalDist

from striate.errors import UsageError


def wilson_interval(
    successes: int, trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The score interval of a share of successes (Wilson 1927).

    Unlike `p +- 1.96 sqrt(p (1 - p) / n)` it holds its confidence near 0 and 1, where accuracies
    live, and never leaves [0, 1].

    Args:
        successes: How many of the trials succeeded.
        trials: At least 1.
        confidence: Between 0 and 1.

    Returns:
        The low and the high end.

    Raises:
        UsageError: the counts or the confidence make no sense.

    >>> low, high = wilson_interval(985, 1000)
    >>> round(low, 4), round(high, 4)
    (0.9754, 0.9909)
    """
    if not 0 <= successes <= trials or trials < 1:
        raise UsageError(f"{successes} successes in {trials} trials give no interval")
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence of {confidence} is not between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At the ends the formula gives 0 and 1 exactly; rounding may miss them by one unit.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
