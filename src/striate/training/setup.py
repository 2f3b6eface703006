"""Puts a training together from data, net and recipe: the task and its first state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from striate.data import (
    TRAIN,
    VALIDATION,
    Augmentation,
    Batches,
    Data,
    Preprocessing,
    to_tensor,
)
from striate.data.memory import Reader
from striate.data.random import Stream, hash64, ordering
from striate.data.resident import send
from striate.errors import DataError, UsageError
from striate.model.model import images_at_a_time
from striate.nets import Net, parse_net
from striate.nets.fused import use_fused
from striate.training.averaging import make_average
from striate.training.compiling import compile_steps
from striate.training.initialize import initialize, whitening_sample
from striate.training.losses import make_loss
from striate.training.machine import choose_device
from striate.training.optimizers import make_optimizers
from striate.training.recipe import Recipe, recipe_from_json
from striate.training.regularize import Regularizer
from striate.training.state import EpochSums, TrainingState
from striate.training.stopping import Patience
from striate.training.task import Task
from striate.training.team import Team
from striate.training.transfer import Start, freeze, start_from_json


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
        start: The weights that it starts from; None for those that its seed draws.
    """

    net: Net
    recipe: Recipe
    seed: int
    device: torch.device
    precision: str
    threads: int
    start: Start | None = None

    def preprocessing(self, data: Data) -> Preprocessing:
        """How an image becomes the net's input: the data's way, or that of the first weights."""
        if self.start is None:
            return data.preprocessing
        seen = {"mean": self.start.mean, "std": self.start.std}
        return data.preprocessing.model_copy(update=seen)

    def to_json(self) -> dict[str, Any]:
        """The part of `run.json` that says how to train."""
        return {
            "net": self.net.text,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "device": str(self.device),
            "precision": self.precision,
            "threads": self.threads,
            "weights": None if self.start is None else self.start.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, device: str = "auto") -> Self:
        """The plan in a `run.json`, or in the message to another process.

        Args:
            document: What `to_json` gave, perhaps with more in it.
            device: "auto" takes the one in the document.

        Raises:
            KeyError, TypeError, ValueError: If it is not such a document.
            UsageError: If there is no such device, net or recipe.
        """
        return cls(
            net=parse_net(document["net"]),
            recipe=recipe_from_json(document["recipe"]),
            seed=int(document["seed"]),
            device=choose_device(document["device"] if device == "auto" else device),
            precision=str(document["precision"]),
            threads=int(document["threads"]),
            start=start_from_json(document.get("weights")),
        )


def prepare(
    plan: Plan,
    data: Data,
    team: Team | None = None,
    *,
    weights: Mapping[str, Tensor] | None = None,
) -> tuple[Task, TrainingState]:
    """The task and a fresh state for it.

    Args:
        plan: The choices.
        data: The images, already split.
        team: The processes that train together, all of which call this with the same.
        weights: Those to start from, under the keys of the net's `state_dict`; only the process
            that leads needs them, and a run that goes on from a checkpoint does not.

    Raises:
        DataError: If there is nothing to train on.
        NetError: If the net does not fit the images.
        UsageError: If there are fewer images in a batch than processes, or no such team is there.
    """
    recipe = plan.recipe
    rank, world = (0, 1) if team is None else (team.rank, team.world)
    if world != recipe.workers:
        raise UsageError(
            f"{recipe.workers} processes are asked for and {world} would train",
            path="workers",
            hint="use striate train --workers, or workers=1",
        )
    preprocessing = plan.preprocessing(data)
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
        mean=preprocessing.mean,
        std=preprocessing.std,
        rank=rank,
        world=world,
        device=plan.device,
        kernels=recipe.kernels == "on",
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
        validate=_validator(plan, data, team),
        initialize=lambda state, restart: _start_again(plan, data, state, restart),
        identity=identity(plan, data),
        team=team,
    )
    return task, _fresh_state(plan, data, 0, weights or {})


def _start_again(plan: Plan, data: Data, state: TrainingState, restart: int) -> None:
    fresh = _fresh_state(plan, data, restart, {})  # weights to start from allow of one start only
    state.module, state.optimizers, state.average = fresh.module, fresh.optimizers, fresh.average
    state.patience, state.sums = fresh.patience, fresh.sums


def _fresh_state(
    plan: Plan, data: Data, restart: int, weights: Mapping[str, Tensor]
) -> TrainingState:
    recipe = plan.recipe
    seed = int(hash64(plan.seed, restart, Stream.INITIALIZE, 0)) >> 1
    torch.manual_seed(seed)
    height, width, channels = data.images.shape[1:]
    module = plan.net.build((height, width, channels))
    use_fused(module, recipe.kernels == "on")
    sample = ordering(seed, 0, data.indices(TRAIN))
    sample = whitening_sample(module, recipe.initialize, sample, pixels=height * width)
    initialize(
        module,
        recipe.initialize,
        torch.from_numpy(Reader(data.images).take(sample)),
        preprocessing=plan.preprocessing(data),
    )
    module.load_state_dict(weights, strict=False)
    frozen = freeze(module, recipe.transfer.freeze)
    module = module.to(plan.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.kernels == "compiled":
        together = min(int(recipe.batch_size), len(data.indices(TRAIN)))
        shape = (together, *data.images.shape[1:])
        compile_steps(module, (plan.to_json() | {"seed": None}, shape))
    return TrainingState(
        module=module,
        optimizers=make_optimizers(
            module,
            recipe.optimizer,
            batch_size=int(recipe.batch_size),
            precision=plan.precision,
            body_rate=1.0 if plan.start is None else recipe.transfer.rate,
            kernels=recipe.kernels == "on",
        ),
        average=make_average(recipe.average, module),
        patience=Patience(recipe.stop.patience),
        sums=EpochSums.zero(plan.device),
        frozen=frozen,
    )


def _validator(
    plan: Plan, data: Data, team: Team | None
) -> Callable[[TrainingState], tuple[float, float]] | None:
    """Loss and accuracy on the validation images, with the weights that would be saved."""
    held_out = data.indices(VALIDATION)
    if not len(held_out):
        return None
    places = held_out if team is None else np.array_split(held_out, team.world)[team.rank]
    preprocessing = plan.preprocessing(data)
    reader = Reader(data.images)
    step = images_at_a_time(*data.images.shape[1:3])

    def validate(state: TrainingState) -> tuple[float, float]:
        losses, hits = [], []  # tensors: nothing waits for the device before the end
        state.module.eval()
        with state.evaluated(), torch.inference_mode():
            for start in range(0, len(places), step):
                chosen = places[start : start + step]
                images = send(torch.from_numpy(reader.take(chosen)), plan.device)
                labels = send(torch.from_numpy(data.labels[chosen]), plan.device)
                with torch.autocast(
                    plan.device.type, torch.bfloat16, enabled=plan.precision == "bf16"
                ):
                    # forward: what steps are compiled for is another number of images
                    logits = state.module.forward(
                        to_tensor(images, preprocessing.mean, preprocessing.std)
                    ).float()
                losses.append(cross_entropy(logits, labels, reduction="sum"))
                hits.append((logits.argmax(1) == labels).sum())
        loss, correct = sum(map(float, losses)), sum(map(float, hits))
        if team is not None:
            loss, correct = team.total([loss, correct])
        return loss / len(held_out), correct / len(held_out)

    return validate


def identity(plan: Plan, data: Data) -> dict[str, object]:
    """What the weights are a function of; the keys are those that an error names."""
    return {
        "data": data.manifest_hash,
        "pixels": [data.resize, data.interpolation, *data.background],
        "split": hashlib.sha256(data.splits.tobytes()).hexdigest(),
        "classes": list(data.classes),
        "net": plan.net.text,
        "seed": plan.seed,
        "precision": plan.precision,
        "weights": None if plan.start is None else plan.start.sha256,
        **{f"recipe.{k}": v for k, v in plan.recipe.model_dump(mode="json").items()},
    }
