"""When a training ends before its last epoch: patience (Algorithm 7.1) and a budget of seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Patience:
    """Early stopping as Algorithm 7.1 of Goodfellow, Bengio and Courville, "Deep Learning".

    Args:
        limit: p, the number of evaluations in a row without a lower loss after which to give up; 0
            is never.

    Examples:
        >>> patience = Patience(limit=2)
        >>> [patience.observe(loss) for loss in (0.9, 0.5, 0.6, 0.5)]
        [True, True, False, False]
        >>> patience.exhausted
        True
    """

    limit: int
    best: float = float("inf")
    worse: int = 0

    def observe(self, loss: float) -> bool:
        """Count one evaluation; true where it is the best so far."""
        if loss < self.best:
            self.best, self.worse = loss, 0
            return True
        self.worse += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether to stop."""
        return 0 < self.limit <= self.worse


def next_progress(progress: float, *, steps: int, seconds: float, step_time: float) -> float:
    """The share of the run that is done after one more step; the schedule follows it.

    A step is an even share of what is left, or, with a budget (`seconds` finite), the share of the
    time that the step before it took, if that is more. So the learning rate reaches its end just
    when the time does, and a slow step (the first one, on a GPU) takes no more than its time.

    Args:
        progress: The share before the step.
        steps: Steps that the epochs still ask for, this one included.
        seconds: What was left of the budget after the step before.
        step_time: Seconds that the step before took; 0 while unknown.

    Examples:
        >>> next_progress(0.5, steps=100, seconds=4.5, step_time=0.5)
        0.55
    """
    if steps <= 1 or seconds <= step_time:
        return 1.0
    return progress + (1.0 - progress) * max(1 / steps, step_time / (seconds + step_time))
