"""What this machine can do, measured in a fifth of a second: to predict the time of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE = 768  # of the square matrices: large enough to run at full speed, small enough to repeat
COPIED = 32 * 2**20  # bytes: more than the caches hold
BUDGET = 0.1  # seconds for each of the two


@dataclass(frozen=True)
class Speed:
    """Measured rates in fp32 with PyTorch's current threads.

    Attributes:
        multiply_adds_per_second: Of a matrix product.
        bytes_per_second: Of a copy, read and written.
    """

    multiply_adds_per_second: float
    bytes_per_second: float


def measure_speed() -> Speed:
    """Times matrix products and copies on the CPU."""
    left, right = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    product = torch.empty(SIDE, SIDE)
    source, target = torch.ones(COPIED // 4), torch.empty(COPIED // 4)
    return Speed(
        multiply_adds_per_second=SIDE**3 / _shortest(lambda: torch.mm(left, right, out=product)),
        bytes_per_second=2 * COPIED / _shortest(lambda: target.copy_(source)),
    )


def _shortest(work: Callable[[], object]) -> float:
    """The shortest time of one call: what disturbs a measurement only makes it longer."""
    work()
    shortest = float("inf")
    end = time.perf_counter() + BUDGET
    while (start := time.perf_counter()) < end:
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
