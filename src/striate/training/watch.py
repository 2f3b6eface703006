"""Between two batches: the clock, signals, checkpoints, and numbers that are none."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from striate.errors import CheckpointError, DivergedError
from striate.training.checkpoint import restore_latest, save_checkpoint
from striate.training.events import Events, Progress
from striate.training.folder import RunFolder
from striate.training.signals import StopSignals
from striate.training.state import TrainingState

RETRIES = 2
SHOWN_EVERY = 0.2  # seconds between two reports of progress
LOOK_EVERY = {"cpu": 1, "cuda": 50, "mps": 20}  # steps; on a GPU each look waits for the device


class NotFiniteError(Exception):
    """The loss, a weight or a statistic stopped being a finite number."""


class Watch:
    """What happens after a step besides the step.

    Args:
        folder: Where the checkpoints go.
        events: Who is told.
        signals: Whether someone asked to stop.
        identity: What the run is a function of.
        checkpoint_seconds: The time between two saves.
    """

    def __init__(
        self,
        folder: RunFolder,
        events: Events,
        signals: StopSignals,
        *,
        identity: Mapping[str, object],
        checkpoint_seconds: float,
    ) -> None:
        self.folder = folder
        self.events = events
        self._signals = signals
        self._identity = identity
        self._checkpoint_seconds = checkpoint_seconds
        self._saved = self._shown = self._ticked = time.monotonic()
        self._steps = 0

    def tick(self, state: TrainingState, *, training: bool) -> None:
        """Add the time since the last tick to the state's clocks."""
        now = time.monotonic()
        state.wall += now - self._ticked
        state.seconds += (now - self._ticked) if training else 0.0
        self._ticked = now

    def after_step(self, state: TrainingState, *, epochs: int, steps_an_epoch: int) -> None:
        """Look at the loss, tell the progress, and save where it is time or asked for.

        Raises:
            NotFiniteError: If the loss or, at a save, the state is not finite.
            InterruptedRunError, TerminatedRunError: After a signal, with the state saved.
        """
        self.tick(state, training=True)
        self._steps += 1
        if self._steps % LOOK_EVERY[state.sums.loss.device.type] == 0:
            self._look(state)
        now = self._ticked
        if now - self._shown >= SHOWN_EVERY:
            self._shown = now
            self.events.progress(describe_progress(state, epochs, steps_an_epoch))
        if self._signals.received is not None:
            self._look(state)
            self.save(state)
            raise self._signals.error(self.folder.path)
        if now - self._saved >= self._checkpoint_seconds:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint.

        Raises:
            NotFiniteError: If the state is not finite; nothing is written then.
        """
        self._look(state)
        try:
            save_checkpoint(self.folder.checkpoints, state, self._identity)
        except DivergedError as error:
            raise NotFiniteError(error.message) from error
        self._saved = time.monotonic()

    def go_back(self, state: TrainingState, reason: str) -> None:
        """Return to the last checkpoint with half the learning rate.

        Raises:
            DivergedError: If that was done twice before.
        """
        retries, scale = state.retries + 1, state.rate_scale / 2
        if retries > RETRIES:
            raise DivergedError(
                f"{reason}, also after going back {RETRIES} times with half the learning rate",
                path=self.folder.path,
                hint="try a lower rate, as in --set optimizer.lr=...",
            )
        try:
            restore_latest(self.folder.checkpoints, state, self._identity)
        except CheckpointError as error:
            raise DivergedError(f"{reason}, and {error}", path=self.folder.path) from error
        state.retries, state.rate_scale = retries, scale
        self.folder.keep_measurements(state.restart, state.epoch)
        self._ticked = time.monotonic()
        self.say(f"{reason}: back to step {state.step}, with {scale:g} times the learning rate")

    def say(self, text: str) -> None:
        """Tell the user, and the log."""
        self.folder.log(text)
        self.events.say(text)

    def _look(self, state: TrainingState) -> None:
        if not torch.isfinite(state.sums.loss):
            raise NotFiniteError("the loss is no longer finite")


def describe_progress(state: TrainingState, epochs: int, steps_an_epoch: int) -> Progress:
    """The figures of a progress bar."""
    images = max(1, state.sums.images)
    steps = epochs * steps_an_epoch
    done = state.step - state.start_step
    left = state.seconds * (1 - state.progress) / state.progress if state.progress else 0.0
    return Progress(
        epoch=state.epoch,
        epochs=epochs,
        step=done,
        steps=steps,
        loss=float(state.sums.loss) / images,
        accuracy=float(state.sums.correct) / images,
        images_per_second=state.images_per_second,
        seconds=state.seconds,
        seconds_left=left,
    )
