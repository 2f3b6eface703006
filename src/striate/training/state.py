"""All that changes while a net trains; with data, recipe and seed it decides the rest."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.nets import NetModule
from striate.training.averaging import WeightAverage
from striate.training.optimizers import Optimizers
from striate.training.stopping import Patience


@dataclass
class Best:
    """The best weights so far by validation loss, and where they come from."""

    weights: dict[str, Tensor]
    loss: float
    epoch: int
    restart: int


@dataclass
class EpochSums:
    """Sums over the batches of the running epoch; tensors, so that no step waits for the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> EpochSums:
        """An epoch that has not begun."""
        return cls(torch.zeros((), device=device), torch.zeros((), device=device))


@dataclass
class TrainingState:
    """The state between two batches; a checkpoint holds exactly this.

    `restart`, `epoch` and `batch` say which batch comes next; `epochs`, `step` and `images` count
    over the run, `start_step` is where this restart began. `progress` runs from 0 to 1 over a
    restart. `seconds` is training time, `wall` also holds the evaluations, `step_time` is that of
    the latest step (0 while unknown, and not saved). `rate_scale` is halved at each of the
    `retries`. `frozen` are the layers that keep their weights. `stopped` says why the current
    restart ended, and is empty before.
    """

    module: NetModule
    optimizers: Optimizers
    average: WeightAverage | None
    patience: Patience
    sums: EpochSums
    restart: int = 0
    epoch: int = 0
    batch: int = 0
    epochs: int = 0
    step: int = 0
    images: int = 0
    start_step: int = 0
    progress: float = 0.0
    seconds: float = 0.0
    wall: float = 0.0
    step_time: float = 0.0
    rate_scale: float = 1.0
    retries: int = 0
    frozen: tuple[nn.Module, ...] = ()
    stopped: str = ""
    best: Best | None = None

    @property
    def images_per_second(self) -> float:
        """The mean over the run, of training time alone."""
        return self.images / self.seconds if self.seconds else 0.0

    def begin_training(self) -> None:
        """Put the net into training mode; frozen layers stay in test mode, as they are used."""
        self.module.train()
        for layer in self.frozen:
            layer.eval()

    def evaluated(self) -> AbstractContextManager[None]:
        """Within it, the module has the weights to evaluate: averaged ones where there are such."""
        if self.average is None:
            return nullcontext()
        return self.average.applied(self.module)

    def weights(self) -> dict[str, Tensor]:
        """A copy on the CPU of the weights to evaluate."""
        with self.evaluated():
            state = self.module.state_dict()
            return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
