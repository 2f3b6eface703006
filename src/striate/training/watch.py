"""Between two batches: the clock, signals, checkpoints, and numbers that are none."""

from __future__ import annotations

import math
import time

import torch

from striate.errors import CheckpointError, DivergedError
from striate.training.checkpoint import restore_latest, save_checkpoint
from striate.training.events import Events, Measurement, Progress
from striate.training.folder import RunFolder
from striate.training.signals import StopSignals
from striate.training.state import TrainingState
from striate.training.task import Task

RETRIES = 2
SHOWN_EVERY = 0.2  # seconds between two reports of progress
LOOK_EVERY = {"cpu": 1, "cuda": 50, "mps": 20}  # steps; on a GPU each look waits for the device


class NotFiniteError(Exception):
    """The loss, a weight or a statistic stopped being a finite number."""


class Watch:
    """What happens after a step besides the step.

    Args:
        task: What is trained.
        folder: Where the checkpoints go.
        events: Who is told.
        signals: Whether someone asked to stop.
    """

    def __init__(self, task: Task, folder: RunFolder, events: Events, signals: StopSignals) -> None:
        self.folder = folder
        self.events = events
        self._task = task
        self._signals = signals
        self._shown = -math.inf  # so that the first step is shown
        self._saved = self._ticked = time.monotonic()
        self._steps = 0

    def tick(self, state: TrainingState, *, training: bool) -> None:
        """Add the time since the last tick to the state's clocks."""
        now = time.monotonic()
        state.wall += now - self._ticked
        state.seconds += (now - self._ticked) if training else 0.0
        self._ticked = now

    def after_step(self, state: TrainingState) -> None:
        """Look at the loss, tell the progress, and save where it is time or asked for.

        Raises:
            NotFiniteError: If the loss or, at a save, the state is not finite.
            InterruptedRunError, TerminatedRunError: After a signal, with the state saved.
        """
        before = state.wall
        self.tick(state, training=True)
        state.step_time = state.wall - before
        self._steps += 1
        if self._steps % LOOK_EVERY[state.sums.loss.device.type] == 0:
            self._look(state)
        now = self._ticked
        if now - self._shown >= SHOWN_EVERY:
            self._shown = now
            self.events.progress(describe_progress(self._task, state))
        self.heed_signals(state)
        if now - self._saved >= self._task.recipe.checkpoint_seconds:
            self.save(state)

    def heed_signals(self, state: TrainingState) -> None:
        """Save and stop, where that is asked for.

        Raises:
            NotFiniteError: If the state is not finite; nothing is written then.
            InterruptedRunError, TerminatedRunError: After a signal, with the state saved.
        """
        if self._signals.received is not None:
            self.save(state)
            raise self._signals.error(self.folder.path)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint.

        Raises:
            NotFiniteError: If the state is not finite; nothing is written then.
        """
        self._look(state)
        try:
            save_checkpoint(self.folder.checkpoints, state, self._task.identity)
        except DivergedError as error:
            raise NotFiniteError(error.message) from error
        self._saved = time.monotonic()

    def go_back(self, state: TrainingState, reason: str) -> None:
        """Return to the last checkpoint with half the learning rate.

        Raises:
            DivergedError: If that was done twice before.
        """
        retries, scale, wall = state.retries + 1, state.rate_scale / 2, state.wall
        if retries > RETRIES:
            raise DivergedError(
                f"{reason}, also after going back {RETRIES} times with half the learning rate",
                path=self.folder.path,
                hint="try a lower rate, as in --set optimizer.lr=...",
            )
        try:
            restore_latest(self.folder.checkpoints, state, self._task.identity)
        except CheckpointError as error:
            raise DivergedError(f"{reason}, and {error}", path=self.folder.path) from error
        state.retries, state.rate_scale = retries, scale
        state.wall = wall  # a budget of time is spent all the same
        self.folder.keep_measurements(state.restart, state.epoch)
        self.tick(state, training=False)
        self.say(f"{reason}: back to step {state.step}, with {scale:g} times the learning rate")

    def measured(self, measurement: Measurement) -> None:
        """Write a measurement down, and tell it."""
        self.folder.append_measurement(measurement)
        self.events.measured(measurement)

    def say(self, text: str) -> None:
        """Tell the user, and the log."""
        self.folder.log(text)
        self.events.say(text)

    def _look(self, state: TrainingState) -> None:
        if not torch.isfinite(state.sums.loss):
            raise NotFiniteError("the loss is no longer finite")


def describe_progress(task: Task, state: TrainingState) -> Progress:
    """The figures of a progress bar."""
    images = max(1, state.sums.images)
    restarts = task.recipe.stop.restarts
    done = (state.restart + state.progress) / restarts
    return Progress(
        done=done,
        restart=state.restart,
        restarts=restarts,
        epoch=state.epoch,
        epochs=task.epochs,
        step=state.step - state.start_step,
        steps=task.epochs * task.batches.steps,
        loss=float(state.sums.loss) / images,
        accuracy=float(state.sums.correct) / images,
        images_per_second=state.images_per_second,
        seconds=state.seconds,
        seconds_left=state.wall * (1 - done) / done if done else 0.0,
    )
