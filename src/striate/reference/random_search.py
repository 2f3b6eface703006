"""The baselines that use no gradient, and random restarts of those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from striate.reference.arrays import Array

Loss = Callable[[Array], float]
Draw = Callable[[], Array]


def random_search(draw: Draw, loss: Loss, *, tries: int) -> Iterator[Array]:
    """Draw the parameters anew each time; gives the best so far after every try."""
    best, lowest = np.empty(0), np.inf
    for _ in range(tries):
        theta = draw()
        if (value := loss(theta)) < lowest:
            best, lowest = theta, value
        yield best


def random_local_search(
    theta: Array, loss: Loss, *, step: float, tries: int, generator: np.random.Generator
) -> Iterator[Array]:
    """Try a random step from the best so far, and keep it if the loss is lower."""
    lowest = loss(theta)
    for _ in range(tries):
        other = theta + step * generator.standard_normal(theta.shape)
        if (value := loss(other)) < lowest:
            theta, lowest = other, value
        yield theta


def random_restarts(
    draw: Draw, train: Callable[[Array], Array], loss: Loss, *, restarts: int
) -> Array:
    """Train from several random starts; keep the end with the lowest training loss (deck 000)."""
    ends = [train(draw()) for _ in range(restarts)]
    return min(ends, key=loss)
