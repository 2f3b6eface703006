"""The training loop: one way through, from the first batch to the last."""

from __future__ import annotations

import torch

from striate.data import Batch
from striate.data.random import Stream, hash_one
from striate.kernels.memory import keep_freed_memory
from striate.training.compiling import compiler_errors
from striate.training.events import Events, Measurement
from striate.training.folder import RunFolder
from striate.training.machine import synchronize
from striate.training.repeating import seed_draws
from striate.training.schedules import schedule_factor
from striate.training.shared_watch import SharedWatch, share_state
from striate.training.signals import StopSignals
from striate.training.state import Best, EpochSums, TrainingState
from striate.training.stopping import next_progress
from striate.training.task import Task
from striate.training.watch import NotFiniteError, Watch


def fit(task: Task, state: TrainingState, folder: RunFolder, events: Events) -> str:
    """Train from `state` to the end of the recipe, saving on the way.

    Returns:
        Why it stopped: "finished", "patience" or "time".

    Raises:
        InterruptedRunError, TerminatedRunError: After a signal, once the state is saved.
        UsageError: If the net is to be compiled and cannot be.
        DivergedError: If the loss is not finite again after going back twice with half the rate.
        ResourceError: If the disk is full.
    """
    keep_freed_memory()
    with StopSignals() as signals, compiler_errors():
        watch = Watch(task, folder, events, signals)
        if task.team is None:
            return _train_all_starts(task, state, watch)
        return _train_all_starts(task, state, SharedWatch(task.team, watch))


def follow(task: Task, state: TrainingState) -> None:
    """Train along with the process that is in `fit`, from its state.

    Raises:
        ResourceError: If that process ends before the training does.
    """
    assert task.team is not None
    keep_freed_memory()
    with StopSignals(), compiler_errors():  # the leader heeds signals
        _train_all_starts(task, state, SharedWatch(task.team, None))


def _train_all_starts(task: Task, state: TrainingState, watch: Watch | SharedWatch) -> str:
    if task.team is not None:
        share_state(task.team, state)
    while not (state.stopped and state.restart + 1 == task.recipe.stop.restarts):
        try:
            if state.step == 0:
                watch.save(state)
            _begin_next_start(task, state)
            state.stopped = _train_one_start(task, state, watch)
            watch.save(state)
            watch.heed_signals(state)
        except NotFiniteError as reason:
            watch.go_back(state, str(reason))
    return state.stopped


def _begin_next_start(task: Task, state: TrainingState) -> None:
    if state.stopped:
        state.restart += 1
        state.epoch = state.batch = 0
        state.start_step, state.progress, state.stopped = state.step, 0.0, ""
        task.initialize(state, state.restart)
        if task.team is not None:
            share_state(task.team, state)


def _train_one_start(task: Task, state: TrainingState, watch: Watch | SharedWatch) -> str:
    """The epochs of one random start; returns why they ended."""
    while state.epoch < task.epochs:
        in_time = _train_epoch(task, state, watch)
        last = not in_time or state.epoch + 1 == task.epochs
        if last or (state.epoch + 1) % task.recipe.stop.evaluate_every == 0:
            _evaluate(task, state, watch)
        state.epoch, state.batch, state.epochs = state.epoch + 1, 0, state.epochs + 1
        state.sums = EpochSums.zero(task.device)
        if not in_time:
            return "time"
        if state.patience.exhausted:
            return "patience"
        watch.heed_signals(state)
    return "finished"


def _train_epoch(task: Task, state: TrainingState, watch: Watch | SharedWatch) -> bool:
    """What is left of an epoch; false where the budget of seconds ended it."""
    state.begin_training()
    counter = state.restart * task.epochs + state.epoch
    for batch in task.batches.epoch(counter, start=state.batch):
        _take_step(task, state, batch)
        state.batch += 1
        state.step += 1
        state.images += task.batches.together
        watch.after_step(state)
        if state.progress >= 1 and state.batch < task.batches.steps:
            return False
    synchronize(task.device)
    watch.tick(state, training=True)
    return state.progress < 1 or state.epoch + 1 == task.epochs


def _take_step(task: Task, state: TrainingState, batch: Batch) -> None:
    compute_gradients(task, state, batch)
    move_weights(task, state)


def compute_gradients(task: Task, state: TrainingState, batch: Batch) -> None:
    """The first part of a step: forward and backward, and the sums over the epoch."""
    # Dropout and noise depend on the place in the run alone, so a resumed run draws the same.
    place = state.step * task.batches.world + task.batches.rank
    seed_draws(hash_one(task.seed, state.restart, Stream.STEP, place) >> 1, task.device)
    images, targets = task.regularizer.perturb(batch.images, batch.labels)
    with torch.autocast(task.device.type, torch.bfloat16, enabled=task.precision == "bf16"):
        logits = task.regularizer.forward(state.module, images)
    loss = task.loss(logits.float(), targets)
    state.optimizers.zero_grad()
    torch.autograd.backward(loss + task.regularizer.penalty(state.module))
    sums = loss.detach() * len(batch.labels), (logits.argmax(1) == batch.labels).sum()
    if task.team is not None:
        share = len(batch.labels) / task.batches.together
        sums = task.team.combine(state.module, sums, share=share)
    task.regularizer.clip(state.module)
    state.sums.loss += sums[0]
    state.sums.correct += sums[1]
    state.sums.images += task.batches.together


def move_weights(task: Task, state: TrainingState) -> None:
    """The second part of a step: the optimisers, and the average of the weights."""
    state.optimizers.step(
        schedule_factor(task.recipe.schedule, state.progress) * state.rate_scale,
        whiten_factor=_whiten_factor(task, state) * state.rate_scale,
    )
    state.progress = _progress_after(task, state)
    if state.average is not None:
        state.average.update(state.module, progress=state.progress)


def _whiten_factor(task: Task, state: TrainingState) -> float:
    """The rate of the whitening bias falls to 0 in the first epochs; then the layer is fixed."""
    steps = task.recipe.initialize.whiten_bias_epochs * task.batches.steps
    return max(0.0, 1.0 - (state.step - state.start_step) / steps) if steps else 0.0


def _progress_after(task: Task, state: TrainingState) -> float:
    stop = task.recipe.stop
    budget = stop.seconds or float("inf")
    return next_progress(
        state.progress,
        steps=task.epochs * task.batches.steps - (state.step - state.start_step),
        seconds=(budget - state.wall) / (stop.restarts - state.restart),
        step_time=state.step_time,
    )


def _evaluate(task: Task, state: TrainingState, watch: Watch | SharedWatch) -> None:
    """Measure the end of an epoch, and keep the weights where they are the best so far."""
    loss, accuracy = None, None
    if task.validate is not None:
        loss, accuracy = task.validate(state)
        if state.patience.observe(loss) and (state.best is None or loss < state.best.loss):
            state.best = Best(state.weights(), loss, state.epoch + 1, state.restart)
    watch.tick(state, training=False)
    images = max(1, state.sums.images)
    measurement = Measurement(
        epoch=state.epoch + 1,
        step=state.step,
        restart=state.restart,
        seconds=state.seconds,
        train_loss=float(state.sums.loss) / images,
        train_accuracy=float(state.sums.correct) / images,
        validation_loss=loss,
        validation_accuracy=accuracy,
        learning_rate=task.recipe.optimizer.lr
        * schedule_factor(task.recipe.schedule, min(1.0, state.progress))
        * state.rate_scale,
        images_per_second=state.images_per_second,
    )
    watch.measured(measurement)
