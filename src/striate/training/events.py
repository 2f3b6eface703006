"""What a training tells whoever watches it: a terminal, a page, a test, or nobody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The state of a training between two batches.

    `done` is the share of the run, 0 to 1, by its steps or by its budget of time. `restart` and
    `epoch` count from 0, `epoch` and `step` over one of the `restarts`; `loss` and `accuracy` are
    means over the epoch so far; `seconds` is training time alone, `seconds_left` the estimate for
    the rest of the run, its evaluations included.
    """

    done: float
    restart: int
    restarts: int
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Measurement:
    """One line of `metrics.jsonl`, at the end of an epoch; None where there is no figure."""

    epoch: int
    step: int
    restart: int
    seconds: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float


class Events:
    """Receives what happens; this one ignores it all. Override what you want to hear."""

    def say(self, text: str) -> None:
        """A sentence for the user: a choice that was made, a warning."""

    def stored(self, done: int, total: int) -> None:
        """`done` of `total` image files are decoded."""

    def progress(self, progress: Progress) -> None:
        """A batch is done; called a few times a second at most."""

    def measured(self, measurement: Measurement) -> None:
        """An epoch is evaluated."""
