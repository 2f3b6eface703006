"""Averages of the weights over the steps, batch normalisation's statistics included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from striate.training.sections import Average


class WeightAverage:
    """An average of all floating state of a module, taken in every `every` steps.

    `ema`: average <- d average + (1 - d) weights, with d = `decay`^`every` but at most
    (1 + u) / (10 + u) at update u, so that the first weights are soon forgotten. Evaluation uses
    the average; the training does not.

    `lookahead` (Zhang et al., 2019): the same, and then the weights go on from the average. Here
    d = `decay`^`every` times the cube of the run's progress, as in the public records: the average
    follows the weights closely at first, and holds them back as the rate falls.

    Args:
        average: The recipe's section.
        module: Whose weights to average, from now on.
    """

    def __init__(self, average: Average, module: nn.Module) -> None:
        self._average = average
        self._held = {name: tensor.clone() for name, tensor in _floating(module)}
        self._steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module, progress: float = 1.0) -> None:
        """Take in the weights after a step; lookahead changes them too.

        Args:
            module: The module.
            progress: The share of the run that is done, 0 to 1; only lookahead asks.
        """
        self._steps += 1
        if self._steps % self._average.every:
            return
        decay = self._decay(progress)
        names, tensors = zip(*_floating(module), strict=True)
        held = [self._held[name] for name in names]
        torch._foreach_lerp_(held, tensors, 1 - decay)
        if self._average.name == "lookahead":
            torch._foreach_copy_(tensors, held)

    def _decay(self, progress: float) -> float:
        longest = self._average.decay**self._average.every
        if self._average.name == "lookahead":
            return longest * progress**3
        updates = self._steps // self._average.every
        return min(longest, (1 + updates) / (10 + updates))

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within it, the module has the averaged weights; after it, its own again."""
        own = {name: tensor.clone() for name, tensor in _floating(module)}
        _put(module, self._held)
        try:
            yield
        finally:
            _put(module, own)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers to save."""
        return {"held": self._held, "steps": self._steps}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it is that of another net.
        """
        if state["held"].keys() != self._held.keys():
            raise ValueError("the averaged weights are those of another net")
        for name, tensor in self._held.items():
            tensor.copy_(state["held"][name])
        self._steps = int(state["steps"])


def make_average(average: Average, module: nn.Module) -> WeightAverage | None:
    """The average that a recipe names, or None for none."""
    return None if average.name == "none" else WeightAverage(average, module)


def _floating(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            yield name, tensor


@torch.no_grad()
def _put(module: nn.Module, source: Mapping[str, Tensor]) -> None:
    for name, tensor in _floating(module):
        tensor.copy_(source[name])
