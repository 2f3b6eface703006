"""All that does not change while a net trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.data import Batches
from striate.training.recipe import Recipe
from striate.training.regularize import Regularizer
from striate.training.state import TrainingState
from striate.training.team import Team


@dataclass(frozen=True)
class Task:
    """What does not change while a net trains.

    Args:
        recipe: The recipe, with every "auto" replaced.
        epochs: E, an epoch being every training image once.
        seed: The run's seed.
        device: Where the net trains.
        precision: "fp32" or "bf16".
        batches: The training batches.
        loss: Logits (N, K) and labels to a scalar, the mean over the batch.
        regularizer: Penalties and perturbations.
        validate: Mean loss and accuracy on the validation images; None where there are none.
        initialize: Puts the fresh start of that number into the state.
        identity: What the run is a function of, as the checkpoints keep it.
        team: The processes that train together; None where one trains alone.
    """

    recipe: Recipe
    epochs: int
    seed: int
    device: torch.device
    precision: str
    batches: Batches
    loss: Callable[[Tensor, Tensor], Tensor]
    regularizer: Regularizer
    validate: Callable[[TrainingState], tuple[float, float]] | None
    initialize: Callable[[TrainingState, int], None]
    identity: Mapping[str, object]
    team: Team | None = None
