"""Early stopping: Algorithm 7.1 of Goodfellow, Bengio and Courville, Deep Learning (deck 001)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from striate.reference.arrays import Array


def early_stopping(
    training: Iterator[Array], validation_error: Callable[[Array], float], *, n: int, p: int
) -> tuple[Array, int]:
    """Train until the validation error has not fallen p times in a row, and keep the best.

    Args:
        training: The parameters after each step, as the optimisers give them; it may end by itself.
        validation_error: Of some parameters.
        n: Steps between evaluations.
        p: The patience.

    Returns:
        The best parameters, and after how many steps they were found.

    Raises:
        ValueError: If the training ends before it is evaluated once.
    """
    best, best_i, lowest = None, 0, float("inf")
    i, j = 0, 0
    while j < p:
        steps = list(islice(training, n))
        if len(steps) < n:
            break
        i, theta = i + n, steps[-1]
        error = validation_error(theta)
        if error < lowest:
            j, best, best_i, lowest = 0, theta, i, error
        else:
            j = j + 1
    if best is None:
        raise ValueError("the training ended before its first evaluation")
    return best, best_i
