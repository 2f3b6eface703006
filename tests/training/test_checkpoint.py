"""Checkpoints: all of the state, to the last bit, or a clear refusal."""

import dataclasses
import math

import pytest
import torch

from striate.errors import CheckpointError, DivergedError
from striate.model import load_tensors, save_tensors
from striate.training.checkpoint import (
    COUNTERS,
    list_checkpoints,
    restore_latest,
    save_checkpoint,
    state_bytes,
)
from striate.training.loop import fit
from striate.training.state import TrainingState

SETTINGS = {"average__name": "ema", "average__every": 1, "stop__patience": 5, "epochs": 2}
OPTIMIZERS = ("muon", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


def tensors_of(value, place=""):
    """All tensors in a nested state, by their place."""
    if isinstance(value, torch.Tensor):
        return {place: value}
    items = value.items() if isinstance(value, dict) else ()
    return {p: t for key, inner in items for p, t in tensors_of(inner, f"{place}/{key}").items()}


def all_of(state):
    document = {
        "module": dict(state.module.state_dict()),
        "optimizers": state.optimizers.state_dict(),
        "average": {} if state.average is None else state.average.state_dict(),
        "best": {} if state.best is None else state.best.weights,
    }
    return tensors_of(document)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_comes_back_to_the_last_bit(optimizer, prepared, folder, heard):
    settings = {**SETTINGS, "optimizer__name": optimizer, "optimizer__lr": 0.01}
    task, state = prepared(**settings)
    fit(task, state, folder, heard)
    _, fresh = prepared(**settings)
    assert restore_latest(folder.checkpoints, fresh, task.identity) == []
    saved, restored = all_of(state), all_of(fresh)
    assert saved.keys() == restored.keys()
    assert all(torch.equal(saved[place], restored[place]) for place in saved)
    assert all(saved[place].dtype == restored[place].dtype for place in saved)
    for name in COUNTERS:
        assert getattr(fresh, name) == getattr(state, name)
    assert fresh.patience == state.patience
    assert dataclasses.replace(fresh.best, weights={}) == dataclasses.replace(
        state.best, weights={}
    )


def test_every_number_of_the_state_is_saved():
    numbers = {
        field.name
        for field in dataclasses.fields(TrainingState)
        if field.type in ("int", "float", "str")
    }
    assert numbers - {"step_time"} == set(COUNTERS)


def test_before_any_evaluation_the_best_loss_is_infinite(prepared, folder):
    task, state = prepared()
    save_checkpoint(folder.checkpoints, state, task.identity)
    _, fresh = prepared()
    fresh.patience.best = 0.5
    restore_latest(folder.checkpoints, fresh, task.identity)
    assert fresh.patience.best == math.inf
    assert fresh.best is None


def test_the_last_two_are_kept(prepared, folder):
    task, state = prepared()
    for step in (1, 20, 3000, 999_999_999):
        state.step = step
        save_checkpoint(folder.checkpoints, state, task.identity)
    names = [path.name for path in list_checkpoints(folder.checkpoints)]
    assert names == ["step-999999999.safetensors", "step-000003000.safetensors"]


@pytest.mark.parametrize("where", ["module", "average"])
def test_what_is_not_finite_is_never_written(where, prepared, folder):
    task, state = prepared(average__name="ema")
    if where == "module":
        next(state.module.parameters()).data.fill_(float("nan"))
    else:
        next(iter(state.average.state_dict()["held"].values())).fill_(float("inf"))
    with pytest.raises(DivergedError, match="is no longer finite"):
        save_checkpoint(folder.checkpoints, state, task.identity)
    assert list(folder.checkpoints.iterdir()) == []


def test_the_differences_to_another_run_are_listed(prepared, folder):
    task, state = prepared()
    save_checkpoint(folder.checkpoints, state, task.identity)
    other = {**task.identity, "seed": 7, "net": "x" * 100, "new": 1}
    del other["classes"]
    with pytest.raises(CheckpointError) as caught:
        restore_latest(folder.checkpoints, state, other)
    message = str(caught.value)
    for part in ("classes (was ['0', '1', '2'], is None)", "seed (was 0, is 7)", "new (was None"):
        assert part in message
    assert f"{'x' * 37}...)" in message


def test_another_format_or_no_identity_is_refused(prepared, folder):
    task, state = prepared()
    path = save_checkpoint(folder.checkpoints, state, task.identity)
    tensors, document = load_tensors(path)
    save_tensors(path, tensors, {**document, "format": 99})
    with pytest.raises(CheckpointError, match="has format 99, this Striate reads 1"):
        restore_latest(folder.checkpoints, state, task.identity)
    save_tensors(path, tensors, {**document, "identity": [1]})
    with pytest.raises(CheckpointError, match="does not say which run it belongs to"):
        restore_latest(folder.checkpoints, state, task.identity)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, document: tensors.pop("sums/loss"),
        lambda tensors, document: tensors.pop("module/layers.conv1.weight"),
        lambda tensors, document: document["counters"].pop("step"),
        lambda tensors, document: document.pop("patience"),
        lambda tensors, document: document.pop("optimizers"),
        lambda tensors, document: document.update(best={"loss": 1}),
    ],
)
def test_a_checkpoint_that_lacks_something_does_not_fit(spoil, prepared, folder):
    task, state = prepared()
    path = save_checkpoint(folder.checkpoints, state, task.identity)
    tensors, document = load_tensors(path)
    spoil(tensors, document)
    save_tensors(path, tensors, document)
    with pytest.raises(CheckpointError, match="does not fit this run"):
        restore_latest(folder.checkpoints, state, task.identity)


def test_a_damaged_one_is_named_and_the_one_before_is_used(prepared, folder):
    task, state = prepared()
    for state.step in (5, 9):
        newest = save_checkpoint(folder.checkpoints, state, task.identity)
    newest.write_bytes(newest.read_bytes()[:-1])
    (note,) = restore_latest(folder.checkpoints, state, task.identity)
    assert newest.name in note
    assert note.endswith("; the checkpoint before it is used")
    assert state.step == 5


def test_no_checkpoint_at_all(prepared, folder):
    task, state = prepared()
    with pytest.raises(CheckpointError, match="holds no checkpoint") as caught:
        restore_latest(folder.checkpoints, state, task.identity)
    assert caught.value.status == 4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_space_that_is_asked_for_is_enough(optimizer, prepared, folder, heard):
    net = "conv3-64 relu conv3-64 relu maxpool2 fc-3"  # larger than the file's header
    task, state = prepared(net=net, optimizer__name=optimizer, optimizer__lr=0.01, **SETTINGS)
    expected = state_bytes(state)
    fit(task, state, folder, heard)
    assert state.best is not None
    assert list_checkpoints(folder.checkpoints)[0].stat().st_size <= expected
