"""The loop: it learns, it stops when and as it is told, and it keeps the best weights."""

import dataclasses
import os
import signal
import time

import pytest
import torch

from striate.data import VALIDATION
from striate.errors import DivergedError, TerminatedRunError
from striate.training.checkpoint import list_checkpoints
from striate.training.folder import read_measurements
from striate.training.loop import fit

CRAWL = {"optimizer__name": "sgd", "optimizer__lr": 1e-9}


def weights_of(state):
    return {name: tensor.clone() for name, tensor in state.module.state_dict().items()}


def test_it_learns_and_measures_every_epoch(prepared, folder, heard):
    task, state = prepared(epochs=6)
    assert fit(task, state, folder, heard) == "finished"
    losses = [line.train_loss for line in heard.lines]
    assert losses[-1] < losses[0] / 1.2
    assert heard.lines[-1].validation_accuracy > 0.9
    assert [line.epoch for line in heard.lines] == [1, 2, 3, 4, 5, 6]
    assert [line.step for line in heard.lines] == [9 * e for e in range(1, 7)]
    assert [dataclasses.asdict(line) for line in heard.lines] == read_measurements(folder.path)
    assert (state.epochs, state.step, state.images) == (6, 54, 54 * 16)
    assert state.seconds > 0
    assert state.wall >= state.seconds


def test_the_learning_rate_follows_the_schedule(prepared, folder, heard):
    task, state = prepared(epochs=4, optimizer__lr=0.2)
    fit(task, state, folder, heard)
    rates = [line.learning_rate for line in heard.lines]
    assert rates == pytest.approx([0.15, 0.1, 0.05, 0.0], abs=1e-9)


def test_the_same_seed_gives_the_same_weights_and_another_another(prepared, folder, heard):
    ends = []
    for seed in (1, 1, 2):
        task, state = prepared(
            seed=seed, regularize__jitter=0.1, net="conv3-4 relu dropout0.5 fc-3"
        )
        fit(task, state, folder, heard)
        ends.append(weights_of(state))
    first, again, other = ends
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_evaluations_may_be_rarer_and_the_last_epoch_is_always_one(prepared, folder, heard):
    task, state = prepared(epochs=5, stop__evaluate_every=2)
    fit(task, state, folder, heard)
    assert [line.epoch for line in heard.lines] == [2, 4, 5]


def test_patience_ends_the_training(prepared, folder, heard):
    task, state = prepared(epochs=100, stop__patience=2, **CRAWL)
    assert fit(task, state, folder, heard) == "patience"
    assert state.stopped == "patience"
    assert state.epochs == len(heard.lines) < 10


def test_a_budget_of_time_ends_the_training_with_its_schedule_at_the_end(prepared, folder, heard):
    task, state = prepared(epochs=100_000, stop__seconds=0.6)
    before = time.monotonic()
    assert fit(task, state, folder, heard) == "time"
    assert time.monotonic() - before < 2
    assert state.progress == 1
    assert heard.lines[-1].learning_rate == 0
    assert 0.3 < state.wall < 1.5
    assert state.step > 10


def test_a_slow_first_step_does_not_spend_the_schedule(prepared, folder, heard):
    task, state = prepared(epochs=100_000, stop__seconds=1.0)
    calls = []

    def slow_at_first(logits, targets):
        if not calls:
            time.sleep(0.2)
        calls.append(1)
        return task.loss(logits, targets)

    fit(dataclasses.replace(task, loss=slow_at_first), state, folder, heard)
    for shown in heard.shown[1:]:
        assert shown.done < shown.seconds / 1.0 + 0.25


def test_a_budget_is_shared_by_the_starts(prepared, folder, heard):
    task, state = prepared(epochs=100_000, stop__seconds=0.6, stop__restarts=3)
    assert fit(task, state, folder, heard) == "time"
    assert state.restart == 2
    assert {line.restart for line in heard.lines} == {0, 1, 2}
    assert state.wall < 1.5


def test_the_best_of_several_starts_is_kept(prepared, folder, heard):
    task, state = prepared(epochs=2, stop__restarts=3)
    fit(task, state, folder, heard)
    best = min(heard.lines, key=lambda line: line.validation_loss)
    assert (state.best.restart, state.best.epoch) == (best.restart, best.epoch)
    assert state.best.loss == best.validation_loss
    state.module.load_state_dict(state.best.weights)
    assert task.validate(state)[0] == pytest.approx(best.validation_loss)
    assert (state.epochs, state.restart) == (6, 2)
    assert len({line.validation_loss for line in heard.lines if line.epoch == 1}) == 3


def test_epochs_count_only_what_was_trained(prepared, folder, heard):
    task, state = prepared(epochs=100, stop__patience=1, stop__restarts=2, **CRAWL)
    fit(task, state, folder, heard)
    assert state.epochs == len(heard.lines)
    assert state.step == 9 * state.epochs


def test_without_validation_images_there_is_no_best(prepared, folder, heard, split_data):
    everything = dataclasses.replace(split_data, splits=split_data.splits.copy())
    everything.splits[everything.splits == VALIDATION] = 0
    task, state = prepared(data=everything)
    fit(task, state, folder, heard)
    assert state.best is None
    assert heard.lines[-1].validation_loss is None
    assert heard.lines[-1].validation_accuracy is None


def test_averaged_weights_are_those_that_are_measured_and_kept(prepared, folder, heard):
    task, state = prepared(average__name="ema", average__decay=0.5, average__every=1)
    fit(task, state, folder, heard)
    with state.evaluated():
        averaged = weights_of(state)
    assert any(not torch.equal(averaged[n], t) for n, t in state.module.state_dict().items())
    best = min(heard.lines, key=lambda line: line.validation_loss)
    state.module.load_state_dict(state.best.weights)
    state.average = None
    assert task.validate(state)[0] == pytest.approx(best.validation_loss)


def test_lookahead_learns_although_it_holds_back(prepared, folder, heard):
    slow = {"average__name": "lookahead", "average__decay": 0.999, "average__every": 1}
    task, state = prepared(epochs=8, **slow)
    fit(task, state, folder, heard)
    assert heard.lines[-1].validation_accuracy > 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {"l1": 1e-4, "l2": 1e-4, "clip_norm": 1.0},
        {"jitter": 0.1, "activation_l1": 1e-3},
        {"mixup": 0.2, "cutmix": 1.0},
    ],
    ids=["penalties", "noise and sparsity", "mixed images"],
)
def test_every_regulariser_trains(settings, prepared, folder, heard):
    task, state = prepared(epochs=10, regularize=settings)
    assert fit(task, state, folder, heard) == "finished"
    assert heard.lines[-1].validation_accuracy > 0.8


@pytest.mark.parametrize("loss", ["square", "hinge", "logistic"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_every_loss_trains_with_class_weights_too(loss, weights, prepared, folder, heard):
    changes = {"loss__name": loss, "loss__class_weights": weights, "loss__label_smoothing": 0.0}
    task, state = prepared(epochs=10, **changes)
    fit(task, state, folder, heard)
    assert heard.lines[-1].validation_accuracy > 0.8


def test_bf16_trains(prepared, folder, heard):
    task, state = prepared(epochs=6, precision="bf16")
    fit(task, state, folder, heard)
    assert heard.lines[-1].validation_accuracy > 0.9
    assert all(t.dtype == torch.float32 for t in state.module.parameters())


def test_checkpoints_are_two_and_the_newest_is_the_end(prepared, folder, heard):
    task, state = prepared(checkpoint_seconds=0)
    fit(task, state, folder, heard)
    newest, older = list_checkpoints(folder.checkpoints)
    assert newest.name == f"step-{state.step:09d}.safetensors"
    assert older.name < newest.name


def test_a_start_that_is_not_finite_ends_with_one_line(prepared, folder, heard):
    task, state = prepared()
    next(state.module.parameters()).data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="no longer finite, and .*holds no checkpoint"):
        fit(task, state, folder, heard)


def test_a_signal_during_the_last_evaluation_stops_the_run(prepared, folder, heard):
    task, state = prepared(epochs=2)
    heard.measured = lambda line: line.epoch == 2 and os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(TerminatedRunError, match="the run is saved"):
        fit(task, state, folder, heard)
    assert list_checkpoints(folder.checkpoints)[0].name == f"step-{state.step:09d}.safetensors"


def test_a_finished_state_is_left_as_it_is(prepared, folder, heard):
    task, state = prepared(epochs=2)
    fit(task, state, folder, heard)
    before, lines = weights_of(state), len(heard.lines)
    assert fit(task, state, folder, heard) == "finished"
    assert len(heard.lines) == lines
    assert all(torch.equal(before[name], t) for name, t in state.module.state_dict().items())
