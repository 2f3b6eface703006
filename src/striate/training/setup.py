"""Puts a training together from data, net and recipe: the task and its first state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from striate.data import TRAIN, VALIDATION, Augmentation, Batches, Data, to_tensor
from striate.data.random import Stream, hash64, ordering
from striate.errors import DataError
from striate.nets import Net
from striate.training.averaging import make_average
from striate.training.initialize import initialize
from striate.training.losses import make_loss
from striate.training.optimizers import make_optimizers
from striate.training.recipe import Recipe
from striate.training.regularize import Regularizer
from striate.training.state import EpochSums, TrainingState
from striate.training.stopping import Patience
from striate.training.task import Task

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class Plan:
    """A run's choices, all made: what `run.json` records and a resumed run reads back.

    Args:
        net: The net, with its input.
        recipe: The recipe with numbers for every "auto".
        seed: The run's seed.
        device: Where to train.
        precision: "fp32" or "bf16".
        threads: Of the processor; another number may change the last bit of a sum.
    """

    net: Net
    recipe: Recipe
    seed: int
    device: torch.device
    precision: str
    threads: int


def prepare(plan: Plan, data: Data) -> tuple[Task, TrainingState]:
    """The task and a fresh state for it.

    Args:
        plan: The choices.
        data: The images, already split.

    Raises:
        DataError: If there is nothing to train on.
        NetError: If the net does not fit the images.
    """
    recipe = plan.recipe
    train = data.indices(TRAIN)
    if not len(train):
        raise DataError("has no training images", path=data.name)
    batches = Batches(
        data.images,
        data.labels,
        train,
        batch_size=int(recipe.batch_size),
        augment=Augmentation.model_validate(recipe.augment.model_dump()),
        seed=plan.seed,
        mean=data.preprocessing.mean,
        std=data.preprocessing.std,
        device=plan.device,
    )
    counts = np.bincount(data.labels[train], minlength=len(data.classes))
    task = Task(
        recipe=recipe,
        epochs=int(recipe.epochs),
        seed=plan.seed,
        device=plan.device,
        precision=plan.precision,
        batches=batches,
        loss=make_loss(recipe.loss, class_counts=counts),
        regularizer=Regularizer(recipe.regularize, classes=len(data.classes)),
        validate=_validator(plan, data),
        initialize=lambda state, restart: _start_again(plan, data, state, restart),
        identity=identity(plan, data),
    )
    return task, _fresh_state(plan, data, 0)


def _start_again(plan: Plan, data: Data, state: TrainingState, restart: int) -> None:
    fresh = _fresh_state(plan, data, restart)
    state.module, state.optimizers, state.average = fresh.module, fresh.optimizers, fresh.average
    state.patience, state.sums = fresh.patience, fresh.sums


def _fresh_state(plan: Plan, data: Data, restart: int) -> TrainingState:
    recipe = plan.recipe
    seed = int(hash64(plan.seed, restart, Stream.INITIALIZE, 0)) >> 1
    torch.manual_seed(seed)
    height, width, channels = data.images.shape[1:]
    module = plan.net.build((height, width, channels))
    sample = ordering(seed, 0, data.indices(TRAIN))[: recipe.initialize.whiten_images]
    initialize(
        module,
        recipe.initialize,
        torch.from_numpy(data.images[sample]),
        preprocessing=data.preprocessing,
    )
    module = module.to(plan.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingState(
        module=module,
        optimizers=make_optimizers(
            module,
            recipe.optimizer,
            batch_size=int(recipe.batch_size),
            precision=plan.precision,
        ),
        average=make_average(recipe.average, module),
        patience=Patience(recipe.stop.patience),
        sums=EpochSums.zero(plan.device),
    )


def _validator(plan: Plan, data: Data) -> Callable[[TrainingState], tuple[float, float]] | None:
    """Loss and accuracy on the validation images, with the weights that would be saved."""
    places = data.indices(VALIDATION)
    if not len(places):
        return None
    preprocessing = data.preprocessing

    def validate(state: TrainingState) -> tuple[float, float]:
        loss = correct = 0.0
        state.module.eval()
        with state.evaluated(), torch.inference_mode():
            for start in range(0, len(places), VALIDATION_BATCH):
                chosen = places[start : start + VALIDATION_BATCH]
                images = torch.from_numpy(data.images[chosen]).to(plan.device)
                labels = torch.from_numpy(data.labels[chosen]).to(plan.device)
                with torch.autocast(
                    plan.device.type, torch.bfloat16, enabled=plan.precision == "bf16"
                ):
                    logits = state.module(
                        to_tensor(images, preprocessing.mean, preprocessing.std)
                    ).float()
                loss += float(cross_entropy(logits, labels, reduction="sum"))
                correct += float((logits.argmax(1) == labels).sum())
        return loss / len(places), correct / len(places)

    return validate


def identity(plan: Plan, data: Data) -> dict[str, object]:
    """What the weights are a function of; the keys are those that an error names."""
    return {
        "data": data.manifest_hash,
        "classes": list(data.classes),
        "net": plan.net.text,
        "seed": plan.seed,
        "precision": plan.precision,
        **{f"recipe.{k}": v for k, v in plan.recipe.model_dump(mode="json").items()},
    }
