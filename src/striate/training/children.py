"""The processes that this one starts to train along: started, watched, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from torch import distributed

from striate.errors import ResourceError
from striate.training.checkpoint import list_checkpoints

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

PROGRAM = "from striate.training.processes import main; main()"
PATIENCE = 120.0  # seconds that a process may take to start
GRACE = 5.0  # seconds to end in, before a process is killed
NOTICE = 2.0  # seconds after a broken connection within which the system tells who died


@dataclass(frozen=True)
class Child:
    """A process, its number in the team, and what it says on standard error."""

    rank: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        status = self.process.returncode
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").split("\n")
        return f"ended: {next(filter(None, reversed(lines)), f'status {status}')}"


class Children:
    """The processes that one process started.

    Args:
        run: The run folder, for errors.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._children: list[Child] = []

    def start(self, world: int, meeting: str) -> None:
        """Start numbers 1 to `world` - 1, and wait until they are there.

        They have a session of their own, so that Ctrl-C reaches this process alone, and a pipe as
        their standard input, whose end tells them that this process is gone.

        Args:
            world: The number of processes, with this one.
            meeting: A file that is not there yet, to find each other by.

        Raises:
            ResourceError: If one of them dies at once, or takes too long.
        """
        paths = (path or str(Path.cwd()) for path in sys.path)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        for rank in range(1, world):
            said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
            command = [sys.executable, "-P", "-c", PROGRAM, meeting, str(rank), str(world)]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                start_new_session=True,
            )
            self._children.append(Child(rank, process, said))
        self._await(meeting_store(meeting, world))

    def error(self) -> ResourceError:
        """The error to raise where a process does not answer: who died, and how."""
        deadline = time.monotonic() + NOTICE
        while self._children and not self._dead() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)  # for the one that died first, where the others died of that
        # A signal has a negative status; those that were left alone have the highest one.
        dead = sorted(self._dead(), key=lambda child: child.process.returncode)
        hint = None
        if list_checkpoints(self._run / "checkpoints"):
            hint = f"the last checkpoint is whole; go on with: striate resume {self._run}"
        what = "a process of the run ended, or does not answer"
        if dead:
            what = f"process {dead[0].rank} of the run {dead[0].fate}"
        return ResourceError(what, path=self._run, hint=hint)

    def end(self) -> None:
        """End all that still run."""
        deadline = time.monotonic() + GRACE
        for child in self._children:
            assert child.process.stdin is not None
            child.process.stdin.close()
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.said.close()
        self._children.clear()

    def _await(self, store: Store) -> None:
        deadline = time.monotonic() + PATIENCE
        while not store.check([arrival(child.rank) for child in self._children]):
            if self._dead() or time.monotonic() > deadline:
                raise self.error()
            time.sleep(0.02)

    def _dead(self) -> list[Child]:
        return [child for child in self._children if child.process.poll() is not None]


def meeting_store(meeting: str, world: int) -> Store:
    """What the processes of a run write their addresses to: a file, as nobody else can reach it."""
    return distributed.FileStore(meeting, world)  # type: ignore[attr-defined]


def arrival(rank: int) -> str:
    """The key that a process sets in the store as soon as it is there."""
    return f"here/{rank}"
