"""Where the time of a training step goes, measured in the steps of a real training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from striate.data import Batch
from striate.kernels import count_muon_flop
from striate.training.loop import compute_gradients, move_weights
from striate.training.machine import synchronize
from striate.training.multiplying import multiplying_layers
from striate.training.operators import OperatorTimes, Pass
from striate.training.state import TrainingState
from striate.training.task import Task

WARM_UPS = 2  # the first steps make their memory, and the last that moves the whitening's bias
FEWEST = 3  # steps of each kind


@dataclass(frozen=True)
class StepTimes:
    """The medians over the measured steps, in seconds.

    Attributes:
        steps: Whole steps that were measured; as many were measured operator by operator.
        seconds: A whole step.
        range: The fastest and the slowest whole step.
        gather: What the loop waits for its batch.
        optimizer: The step of the optimisers.
        products: Each pass of each layer that multiplies, in the order of the net.
        pointwise: All other operators forward and backward.
        gather_bytes: The pixels of a batch and the numbers that they become.
        pointwise_bytes: What the pointwise operators read and write.
        optimizer_flop: The optimisers' matrix products, two for each multiply-add.
    """

    steps: int
    seconds: float
    range: tuple[float, float]
    gather: float
    optimizer: float
    products: Mapping[tuple[str, Pass], float]
    pointwise: float
    gather_bytes: int
    pointwise_bytes: int
    optimizer_flop: int


def measure_phases(task: Task, state: TrainingState, *, seconds: float) -> StepTimes:
    """Train for a while, and time the parts of a step.

    Whole steps take turns with steps whose parts are timed one by one, so that what disturbs the
    machine disturbs both; in the former nothing waits for the device but their end. All stand where
    the middle of the run is: there the rate is neither at its start nor zero, and the whitening's
    bias no longer moves, as in most steps.

    Args:
        task: What to train.
        state: A fresh state; it is trained on.
        seconds: How long to measure; three steps of each kind are always measured.
    """
    bench = _Bench(task, state)
    for _ in range(WARM_UPS):
        bench.whole_step()
    optimizer_flop = bench.optimizer_flop()
    bench.step_in_parts()
    end = time.perf_counter() + seconds
    wholes: list[float] = []
    parts: list[_Parts] = []
    while len(wholes) < FEWEST or time.perf_counter() < end:
        wholes.append(bench.whole_step())
        parts.append(bench.step_in_parts())
    return StepTimes(
        steps=len(wholes),
        seconds=median(wholes),
        range=(min(wholes), max(wholes)),
        gather=median(part.gather for part in parts),
        optimizer=median(part.optimizer for part in parts),
        products={
            product: median(part.operators.products[product] for part in parts)
            for product in parts[-1].operators.products
        },
        pointwise=median(part.operators.pointwise for part in parts),
        gather_bytes=bench.gather_bytes,
        pointwise_bytes=parts[-1].operators.moved,
        optimizer_flop=optimizer_flop,
    )


@dataclass(frozen=True)
class _Parts:
    """The seconds of the parts of one step."""

    gather: float
    operators: OperatorTimes
    optimizer: float


class _Bench:
    """Takes the steps of a training, and the times.

    Args:
        task: What to train.
        state: Its state.
    """

    def __init__(self, task: Task, state: TrainingState) -> None:
        self._task, self._state = task, state
        self._layers = multiplying_layers(state.module)
        self._batches = self._endless()
        self.gather_bytes = 0
        state.step = task.epochs * task.batches.steps // 2
        state.begin_training()

    def whole_step(self) -> float:
        """One step; seconds."""
        start = self._clock()
        compute_gradients(self._task, self._state, self._next_batch())
        move_weights(self._task, self._state)
        return self._clock() - start

    def step_in_parts(self) -> _Parts:
        """One step, every operator of its forward and backward pass timed."""
        start = self._clock()
        batch = self._next_batch()
        gather = self._clock() - start
        with OperatorTimes(self._layers, self._task.device) as operators:
            compute_gradients(self._task, self._state, batch)
        start = self._clock()
        move_weights(self._task, self._state)
        return _Parts(gather, operators, self._clock() - start)

    def optimizer_flop(self) -> int:
        """One step, the products of its optimisers counted; two for each multiply-add."""
        compute_gradients(self._task, self._state, self._next_batch())
        formulas = {torch.ops.striate.muon: count_muon_flop}
        with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
            move_weights(self._task, self._state)
        return int(counter.get_total_flops())

    def _next_batch(self) -> Batch:
        self._state.progress = 0.5
        batch = next(self._batches)
        self.gather_bytes = batch.images.numel() + batch.images.nbytes
        return batch

    def _endless(self) -> Iterator[Batch]:
        epoch = self._task.epochs // 2
        while True:
            yield from self._task.batches.epoch(epoch)
            epoch += 1

    def _clock(self) -> float:
        synchronize(self._task.device)
        return time.perf_counter()
