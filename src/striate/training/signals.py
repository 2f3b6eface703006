"""Ctrl-C and SIGTERM ask a training to save and stop; a second Ctrl-C stops it at once."""

from __future__ import annotations

import shlex
import signal
import threading
from types import FrameType
from typing import Any, Self

from striate.errors import InterruptedRunError, StriateError, TerminatedRunError


class StopSignals:
    """While entered, records the first SIGINT or SIGTERM instead of letting it end the process.

    In a thread other than the main one, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def error(self, run: object) -> StriateError:
        """The error to raise once the state is saved."""
        hint = f"go on with: striate resume {shlex.quote(str(run))}"
        if self.received == signal.SIGTERM:
            return TerminatedRunError("terminated; the run is saved", path=run, hint=hint)
        return InterruptedRunError("interrupted; the run is saved", path=run, hint=hint)
