"""Progress on standard error: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from striate.cli.text import format_seconds, printable
from striate.training.events import Events

if TYPE_CHECKING:
    from striate.training.events import Measurement
    from striate.training.events import Progress as TrainingProgress


class _LastingConsole(Console):
    """Writes to standard error as long as someone reads it: a training does not end with them."""

    def on_broken_pipe(self) -> None:
        """Write nothing from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class TerminalEvents(Events):
    """Shows a training: a progress bar on a terminal, a line an epoch elsewhere.

    Use as a context manager, so that the bar is taken down whatever happens.
    """

    def __init__(self) -> None:
        self._console = _LastingConsole(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._epochs = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""

    def __enter__(self) -> TerminalEvents:
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(printable(text), markup=False, style="dim", soft_wrap=True)

    def stored(self, done: int, total: int) -> None:
        """Move the bar of the decoding."""
        self._show("decoding", done, total, f"{done:,} of {total:,} images")
        if done >= total:
            self._take_down()

    def progress(self, progress: TrainingProgress) -> None:
        """Move the bar of the training."""
        self._epochs = progress.epochs
        start = f"start {progress.restart + 1}/{progress.restarts}, " * (progress.restarts > 1)
        text = (
            f"loss {progress.loss:.3f}  accuracy {progress.accuracy:6.2%}  "
            f"{progress.images_per_second:,.0f} images/s  "
            f"{format_seconds(progress.seconds_left)} left"
        )
        stage = f"{start}epoch {progress.epoch + 1}/{progress.epochs}"
        self._show(stage, progress.done, 1.0, text)

    def measured(self, measurement: Measurement) -> None:
        """Print the line of an epoch."""
        of = f"/{self._epochs}" if self._epochs else ""
        text = (
            f"epoch {measurement.epoch:>3}{of}  loss {measurement.train_loss:.4f}  "
            f"train {measurement.train_accuracy:7.2%}"
        )
        if measurement.validation_accuracy is not None:
            text += (
                f"  validation {measurement.validation_accuracy:7.2%} "
                f"(loss {measurement.validation_loss:.4f})"
            )
        text += (
            f"  {measurement.images_per_second:,.0f} images/s  "
            f"{format_seconds(measurement.seconds)}"
        )
        self._console.print(text, markup=False, soft_wrap=True)

    def _show(self, stage: str, done: float, total: float, text: str) -> None:
        if not self._live:
            return
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(24),
                TextColumn("{task.fields[text]}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(stage, total=total, text=text)
        if self._task is not None:
            self._bar.update(self._task, description=stage, completed=done, total=total, text=text)

    def _take_down(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None
