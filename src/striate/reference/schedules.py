"""Learning rates, step by step, as scikit-learn's perceptron has them (deck 001)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat

SMALLEST = 1e-6  # an adaptive rate below this ends the training


def constant(rate: float) -> Iterator[float]:
    """The same rate at every step."""
    return repeat(rate)


def inverse_scaling(rate: float, power: float = 0.5) -> Iterator[float]:
    """The rate over t^power, at steps t = 1, 2, 3 ..."""
    return (rate / t**power for t in count(1))


@dataclass
class Adaptive:
    """The same rate as long as the training loss falls; a fifth of it when it no longer does.

    Iterating over it gives the rates, until they are too small to matter.

    Args:
        rate: The first.
        patience: How many epochs without progress are borne; one more divides the rate by 5.
        tolerance: What the loss must fall by to count as progress.

    Examples:
        >>> rates = Adaptive(0.5, patience=1)
        >>> for loss in (0.9, 0.9, 0.9):
        ...     rates.observe(loss)
        >>> next(iter(rates))
        0.1
    """

    rate: float
    patience: int = 10
    tolerance: float = 1e-4
    best: float = float("inf")
    worse: int = 0

    def observe(self, loss: float) -> None:
        """Tell the training loss of an epoch."""
        self.worse = self.worse + 1 if loss > self.best - self.tolerance else 0
        self.best = min(self.best, loss)
        if self.worse > self.patience:
            self.rate, self.worse = self.rate / 5, 0

    def __iter__(self) -> Iterator[float]:
        """The rate of each step."""
        while self.rate > SMALLEST:
            yield self.rate
