"""Analytic gradients against central differences, with a fair hearing for kinks.

The gradient check of the lectures (deck 001): df/dx is compared with (f(x + h) - f(x - h)) / 2h, in
float64. Where f has a kink (a rectifier at 0, two equal maxima of a pooling), the slopes on the two
sides differ, and any value between them is a right answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import torch
from torch import Tensor

Place = tuple[int, ...] | EllipsisType

# Steps in units of the values' own size, the best first. Smaller ones find the side of a kink that
# a point is on, larger ones stand out of the rounding.
_STEPS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-4)
_DIRECTION_STEPS = (1e-6, 1e-7, 1e-8, 1e-5)
_KINK_STEPS = (1e-6, 1e-7)  # on which the slopes of a smooth function agree
_SMOOTH = 1e-3  # relative difference of the slopes on two sides, from which on it is a kink
_ROUNDINGS = 8  # of an output, in units of the last place


@dataclass(frozen=True)
class Comparison:
    """How far the analytic gradient by one tensor is from the numerical one.

    Attributes:
        error: The largest relative error, infinite where a gradient is not a number.
        entries: How many were compared one by one.
        kinks: How many of these lie at a kink, with the analytic value between the two slopes.
    """

    error: float
    entries: int
    kinks: int


@dataclass(frozen=True)
class Function:
    """The layer's output, reduced to one number by fixed random weights.

    Attributes:
        output: The output for the present values of all tensors.
        weights: Of the output's shape.
        tolerance: The relative error to bear.
    """

    output: Callable[[], Tensor]
    weights: Tensor
    tolerance: float


@torch.no_grad()
def compare_entries(
    function: Function, tensor: Tensor, gradient: Tensor, places: list[tuple[int, ...]]
) -> Comparison:
    """Compare the gradient by `tensor` at single entries.

    Args:
        function: Reads `tensor`, which is moved in place and put back.
        tensor: float64, any shape.
        gradient: The analytic gradient at it.
        places: Indices of the entries.
    """
    if not bool(gradient.isfinite().all()):
        return Comparison(math.inf, len(places), 0)
    probe = _Probe(function, tensor, scale=_size(gradient))
    results = [probe.judge(float(gradient[place]), place, 1.0, _STEPS) for place in places]
    worst = max((error for error, _ in results), default=0.0)
    return Comparison(worst, len(places), sum(kink for _, kink in results))


@torch.no_grad()
def compare_direction(
    function: Function, tensor: Tensor, gradient: Tensor, direction: Tensor
) -> float:
    """The relative error of the slope along a direction through all entries at once.

    A sample of entries may miss an error at the border or in one channel; this does not. Arguments
    as for `compare_entries`.
    """
    if not bool(gradient.isfinite().all()):
        return math.inf
    probe = _Probe(function, tensor, scale=float(gradient.norm()))
    slope = float((gradient * direction).sum())
    return probe.judge(slope, ..., direction, _DIRECTION_STEPS)[0]


def choose_places(
    shape: torch.Size, count: int, generator: np.random.Generator
) -> list[tuple[int, ...]]:
    """Indices of `count` entries of chance, or of all if there are no more."""
    size = math.prod(shape)
    chosen = np.arange(size) if size <= count else generator.choice(size, count, replace=False)
    return [tuple(int(i) for i in np.unravel_index(place, tuple(shape))) for place in chosen]


@dataclass(frozen=True)
class _Slopes:
    central: float
    low: float  # of the slopes that are right at a kink
    high: float
    noise: float  # what rounding may add

    def hold(self, value: float, slack: float) -> bool:
        """Whether a value lies between the slopes on the two sides."""
        return self.low - slack <= value <= self.high + slack


class _Probe:
    """The slopes of a function by one tensor.

    Args:
        function: As for `compare_entries`.
        tensor: Likewise.
        scale: The size that slopes by this tensor usually have: an error is relative to it where
            the slope itself is smaller.
    """

    def __init__(self, function: Function, tensor: Tensor, *, scale: float) -> None:
        self._function, self._tensor, self._scale = function, tensor, scale
        self._middle = function.output()
        self._unit = _size(tensor) or 1.0

    def judge(
        self, analytic: float, place: Place, direction: float | Tensor, steps: tuple[float, ...]
    ) -> tuple[float, bool]:
        """The relative error of an analytic slope at the best step, and whether it is at a kink."""
        tolerance = self._function.tolerance
        best = math.inf
        kink = False
        for step in steps:
            slopes = self._slopes(place, direction, step * self._unit)
            size = max(abs(analytic), self._scale)
            kink |= step in _KINK_STEPS and slopes.hold(analytic, tolerance * size)
            size = max(size, abs(slopes.central), slopes.noise / tolerance)
            error = abs(analytic - slopes.central) / size if size > 0 else 0.0
            if math.isfinite(error):
                best = min(best, error)
            if best <= tolerance:
                return best, False
        return (0.0, True) if kink else (best, False)

    def _slopes(self, place: Place, direction: float | Tensor, step: float) -> _Slopes:
        after = self._output_at(place, step * direction)
        before = self._output_at(place, -step * direction)
        weights = self._function.weights
        # Weighted after the subtraction: what the step does not reach cancels without rounding.
        ahead = (after - self._middle) * weights / step
        behind = (self._middle - before) * weights / step
        central = (ahead + behind) / 2
        # Output by output: windows that share a value may each choose another side of a tie.
        half = (ahead - behind).abs() / 2
        half[half < _SMOOTH * central.abs()] = 0
        total, width = float(central.sum()), float(half.sum())
        touched = torch.where(after != before, after * weights, 0.0)
        rounding = _ROUNDINGS * torch.finfo(torch.float64).eps * float(touched.norm())
        return _Slopes(total, total - width, total + width, rounding / step)

    def _output_at(self, place: Place, move: float | Tensor) -> Tensor:
        kept = self._tensor[place].clone()
        self._tensor[place] = kept + move
        try:
            return self._function.output()
        finally:
            self._tensor[place] = kept


def _size(tensor: Tensor) -> float:
    """The root of the mean square of its values."""
    return float(tensor.norm()) / math.sqrt(max(1, tensor.numel()))
