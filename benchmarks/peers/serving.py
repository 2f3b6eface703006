"""What every arm has in common: it is told to measure by a line, and answers with one.

An arm is a process of its own, with the Python and the libraries that it needs. It gets ready, and
then sleeps until a JSON object comes on standard input; it does what that asks for, and writes a
JSON object to standard output. So the arms of a benchmark alternate on the same machine, and each
has it to itself while it measures. This file needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Answer = dict[str, Any]


class Conversation:
    """The lines between an arm and its benchmark; what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def ready(self, *packages: str) -> None:
        """Say that requests may come, and which of these packages answer in which version."""
        found = {package: _version(package) for package in packages}
        versions = {package: number for package, number in found.items() if number}
        self.answer({"versions": versions})

    def answer(self, answer: Answer) -> None:
        """Answer a request."""
        print(json.dumps(answer), file=self._answers, flush=True)

    def requests(self) -> Iterator[Answer]:
        """Give the requests as they come, until there are no more."""
        while line := sys.stdin.readline():
            yield json.loads(line)


def serve(measure: Callable[..., Answer], *packages: str) -> None:
    """Answer every request by `measure(**request)`, until there are no more."""
    conversation = Conversation()
    conversation.ready(*packages)
    for request in conversation.requests():
        conversation.answer(measure(**request))


def timed_steps(step: Callable[[], int], *, images: int, seconds: float) -> Answer:
    """Take steps until so many images are seen or the time is over; there is at least one.

    Args:
        step: Takes one, to its end, and returns the number of its images.
        images: After which to stop.
        seconds: After which to stop, if that is earlier.

    Returns:
        `images` and `seconds`.
    """
    start, seen, passed = time.perf_counter(), 0, 0.0
    while not seen or (seen < images and passed < seconds):
        seen += step()
        passed = time.perf_counter() - start
    return {"images": seen, "seconds": passed}


def timed_calls(call: Callable[[], object], *, seconds: float) -> float:
    """The median time of a call, in seconds, over as many as fit into a time; at least three."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
