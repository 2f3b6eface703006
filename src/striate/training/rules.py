"""The optimisers' rules, by PyTorch's functions for them.

Not by its classes: the first of these to be made imports PyTorch's compiler, which takes as long as
PyTorch itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

Memory = dict[str, Tensor]  # what is remembered of a parameter, under PyTorch's names


class Rule(Protocol):
    """How parameters follow their gradients."""

    def move(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memories: list[Memory],
        *,
        rate: float,
        decay: float,
    ) -> None:
        """Move parameters, and note what is to be remembered of each; one step, without autograd.

        Args:
            parameters: Which; at least one.
            gradients: One for each.
            memories: One for each; empty at the first step.
            rate: The learning rate.
            decay: Of the weights.
        """


@dataclass(frozen=True)
class Descent:
    """Gradient descent, with momentum or Nesterov's."""

    momentum: float = 0.0
    nesterov: bool = False

    def move(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memories: list[Memory],
        *,
        rate: float,
        decay: float,
    ) -> None:
        """As `Rule.move`."""
        buffers = [memory.get("momentum_buffer") for memory in memories]
        sgd(
            parameters,
            gradients,
            buffers,
            fused=_fused(parameters),
            lr=rate,
            weight_decay=decay,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            dampening=0.0,
            maximize=False,
        )
        for memory, buffer in zip(memories, buffers, strict=True):
            if buffer is not None:
                memory["momentum_buffer"] = buffer


@dataclass(frozen=True)
class RmsProp:
    """RMSprop: steps divided by the root of the mean square of the gradients."""

    beta2: float
    epsilon: float
    momentum: float

    def move(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memories: list[Memory],
        *,
        rate: float,
        decay: float,
    ) -> None:
        """As `Rule.move`."""
        names = ("square_avg", *(("momentum_buffer",) if self.momentum > 0 else ()))
        for parameter, memory in zip(parameters, memories, strict=True):
            _begin(memory, parameter, names)
        rmsprop(
            parameters,
            gradients,
            [memory["square_avg"] for memory in memories],
            [],
            [memory[name] for memory in memories for name in names[1:]],
            [memory["step"] for memory in memories],
            lr=rate,
            alpha=self.beta2,
            eps=self.epsilon,
            weight_decay=decay,
            momentum=self.momentum,
            centered=False,
        )


@dataclass(frozen=True)
class Adam:
    """Adam, or AdamW, whose decay goes by the rate alone."""

    beta1: float
    beta2: float
    epsilon: float
    decoupled: bool = False

    def move(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        memories: list[Memory],
        *,
        rate: float,
        decay: float,
    ) -> None:
        """As `Rule.move`."""
        for parameter, memory in zip(parameters, memories, strict=True):
            _begin(memory, parameter, ("exp_avg", "exp_avg_sq"))
        adam(
            parameters,
            gradients,
            [memory["exp_avg"] for memory in memories],
            [memory["exp_avg_sq"] for memory in memories],
            [],
            [memory["step"] for memory in memories],
            fused=_fused(parameters),
            decoupled_weight_decay=self.decoupled,
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=rate,
            weight_decay=decay,
            eps=self.epsilon,
            maximize=False,
        )


def _begin(memory: Memory, parameter: Tensor, names: tuple[str, ...]) -> None:
    """At a parameter's first step, zeros in its own memory order, and a count."""
    if not memory:
        memory["step"] = torch.zeros(())
        memory.update({name: torch.zeros_like(parameter) for name in names})


def _fused(parameters: list[Tensor]) -> bool | None:
    """On the CPU, one operator for all parameters: a third of the time, or less, for a small net.

    Elsewhere it is PyTorch's choice.
    """
    return all(parameter.device.type == "cpu" for parameter in parameters) or None
