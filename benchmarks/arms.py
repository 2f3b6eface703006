"""Arms of a benchmark: processes that measure in turn, and sleep in between.

Each is a script that speaks as `peers/serving.py` says, run by the Python that has its libraries.
An arm whose libraries are not installed is left out, with a line that says so; any other failure
ends the benchmark.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

FOLDER = Path(__file__).parent
Answer = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """What to start.

    Args:
        name: In the tables.
        script: In this folder.
        arguments: Of the script.
        python: The interpreter.
        environment: Variables of its own.
        sees_gpu: Whether it may use those that the benchmark sees.
    """

    name: str
    script: str
    arguments: Sequence[object] = ()
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    sees_gpu: bool = False


class MissingLibraryError(Exception):
    """The arm's Python has not got what the arm needs."""


class RunningArm:
    """A started arm.

    Args:
        arm: Which.
        threads: How many it may use.
        errors: A file for what it writes to standard error.

    Raises:
        MissingLibraryError: If its Python has not got a library of it.
        RuntimeError: If it fails in another way.
    """

    def __init__(self, arm: Arm, *, threads: int, errors: IO[str]) -> None:
        self.name = arm.name
        self._errors = errors
        variables = {**os.environ, **limits(threads), **arm.environment}
        if not arm.sees_gpu:
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        command = [arm.python, str(FOLDER / arm.script), *map(str, arm.arguments)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={name: value for name, value in variables.items() if value},
        )
        self.versions: dict[str, str] = self._read()["versions"]

    def measure(self, **request: object) -> Answer:
        """Send a request, and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Send no more requests, and wait for the end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self.close()
        self._errors.seek(0)
        said = self._errors.read().strip()
        last = said.splitlines()[-1] if said else f"status {self._process.returncode}"
        if "ModuleNotFoundError" in last:
            raise MissingLibraryError(last.partition(": ")[2])
        raise RuntimeError(f"the arm {self.name!r} failed:\n{said[-4000:]}")


def limits(threads: int) -> dict[str, str]:
    """Variables of an arm with so many threads.

    How threads wait is left to the libraries, as users have it: for some milliseconds they spin,
    which is faster on a machine that has nothing else to do. ARMS_WAIT_POLICY=PASSIVE lets them
    sleep at once, for one that has.
    """
    number = str(threads)
    return {
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "TF_NUM_INTRAOP_THREADS": number,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_WAIT_POLICY": os.environ.get("ARMS_WAIT_POLICY", ""),
        "PYTHONPATH": str(FOLDER / "peers"),  # where `serving` is
    }


@contextmanager
def running(arms: Iterable[Arm], *, threads: int = 2) -> Iterator[list[RunningArm]]:
    """Start the arms, leaving out those whose libraries are missing; end them afterwards."""
    with ExitStack() as stack:
        started = []
        for arm in arms:
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            try:
                one = RunningArm(arm, threads=threads, errors=errors)
            except MissingLibraryError as missing:
                print(f"left out: {arm.name} ({missing}); see benchmarks/peers/README.md")
                continue
            stack.callback(one.close)
            started.append(one)
        yield started


def alternate(
    arms: Sequence[RunningArm], rounds: int, request: Mapping[str, object]
) -> dict[str, list[Answer]]:
    """Measure each arm once a round, in turn; every second round goes backwards."""
    answers: dict[str, list[Answer]] = {arm.name: [] for arm in arms}
    for number in range(rounds):
        for arm in arms[:: -1 if number % 2 else 1]:
            answers[arm.name].append(arm.measure(**request))
    return answers


def rates(answers: Sequence[Answer]) -> list[float]:
    """Images a second of each answer."""
    return [answer["images"] / answer["seconds"] for answer in answers]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of one arm's figure over another's in the same round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def versions_line(arms: Iterable[RunningArm]) -> str:
    """The versions of the arms' libraries, in a sentence."""
    found = {name: number for arm in arms for name, number in arm.versions.items()}
    return "Libraries: " + ", ".join(f"{name} {number}" for name, number in sorted(found.items()))
