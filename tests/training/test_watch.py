"""Between two batches: clocks, saves, signals, and what happens when a number is none."""

import os
import signal

import pytest
import torch

from striate.errors import DivergedError, InterruptedRunError, TerminatedRunError
from striate.training.checkpoint import list_checkpoints, restore_latest
from striate.training.folder import read_measurements
from striate.training.loop import fit
from striate.training.signals import StopSignals
from striate.training.watch import NotFiniteError, Watch, describe_progress


@pytest.fixture
def watched(prepared, folder, heard):
    """A task, its state, and a watch over it."""

    def make(**settings):
        task, state = prepared(**settings)
        return task, state, Watch(task, folder, heard, StopSignals())

    return make


def test_the_clock_runs_for_training_and_for_the_rest(watched):
    _, state, watch = watched()
    watch.tick(state, training=True)
    trained = state.seconds
    watch.tick(state, training=False)
    assert state.seconds == trained
    assert state.wall > trained


def test_each_step_has_its_time(watched):
    _, state, watch = watched()
    watch.tick(state, training=False)
    before = state.wall
    watch.after_step(state)
    assert state.step_time == pytest.approx(state.wall - before, abs=1e-12)
    assert state.step_time > 0


def test_it_saves_when_the_interval_is_over(watched, folder):
    _, state, watch = watched(checkpoint_seconds=1000)
    watch.after_step(state)
    assert not list_checkpoints(folder.checkpoints)
    _, state, watch = watched(checkpoint_seconds=0)
    watch.after_step(state)
    assert len(list_checkpoints(folder.checkpoints)) == 1


def test_the_first_step_is_shown_and_then_some(watched, heard):
    _, state, watch = watched()
    for _ in range(20):
        watch.after_step(state)
    assert len(heard.shown) == 1


def test_a_loss_that_is_none_is_seen_and_never_saved(watched, folder):
    _, state, watch = watched()
    state.sums.loss.fill_(float("inf"))
    with pytest.raises(NotFiniteError, match="the loss is no longer finite"):
        watch.after_step(state)
    with pytest.raises(NotFiniteError):
        watch.save(state)
    assert not list_checkpoints(folder.checkpoints)


def test_a_weight_that_is_none_is_named_and_never_saved(watched, folder):
    _, state, watch = watched()
    next(state.module.parameters()).data[0] = float("nan")
    with pytest.raises(NotFiniteError, match=r"layers\.conv1\.weight is no longer finite"):
        watch.save(state)
    assert not list_checkpoints(folder.checkpoints)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, TerminatedRunError), (signal.SIGINT, InterruptedRunError)],
)
def test_a_signal_saves_and_stops(number, error, prepared, folder, heard):
    task, state = prepared(checkpoint_seconds=1000)
    with StopSignals() as signals:
        watch = Watch(task, folder, heard, signals)
        watch.after_step(state)
        os.kill(os.getpid(), number)
        with pytest.raises(error, match="the run is saved"):
            watch.after_step(state)
    assert len(list_checkpoints(folder.checkpoints)) == 1


def test_going_back_restores_halves_the_rate_and_forgets_what_came_after(prepared, folder, heard):
    task, state = prepared(epochs=4, checkpoint_seconds=1000)
    fit(task, state, folder, heard)
    watch = Watch(task, folder, heard, StopSignals())
    newest, _ = list_checkpoints(folder.checkpoints)
    newest.unlink()
    state.wall = 100.0
    watch.go_back(state, "the loss is no longer finite")
    assert state.wall > 100  # a budget of time is spent all the same
    assert (state.step, state.epoch, state.retries, state.rate_scale) == (0, 0, 1, 0.5)
    assert read_measurements(folder.path) == []
    assert heard.said[-1] == (
        "the loss is no longer finite: back to step 0, with 0.5 times the learning rate"
    )
    assert heard.said[-1] in (folder.path / "log.txt").read_text()
    watch.go_back(state, "again")
    assert (state.retries, state.rate_scale) == (2, 0.25)
    with pytest.raises(DivergedError, match="again, also after going back 2 times.*optimizer.lr"):
        watch.go_back(state, "again")


def test_the_halved_rate_is_saved_and_restored(prepared, folder, heard):
    task, state = prepared()
    watch = Watch(task, folder, heard, StopSignals())
    watch.save(state)
    watch.go_back(state, "why")
    watch.save(state)
    _, fresh = prepared()
    restore_latest(folder.checkpoints, fresh, task.identity)
    assert (fresh.retries, fresh.rate_scale) == (1, 0.5)


def test_progress_is_over_all_starts(prepared):
    task, state = prepared(epochs=4, stop__restarts=2)
    state.restart, state.epoch, state.step, state.start_step = 1, 2, 60, 36
    state.progress, state.wall, state.seconds, state.images = 0.5, 30.0, 20.0, 960
    state.sums.loss, state.sums.correct = torch.tensor(4.0), torch.tensor(6.0)
    state.sums.images = 8
    shown = describe_progress(task, state)
    assert (shown.done, shown.seconds_left) == (0.75, 10.0)
    assert (shown.restart, shown.restarts, shown.epoch, shown.epochs) == (1, 2, 2, 4)
    assert (shown.step, shown.steps) == (24, 36)
    assert (shown.loss, shown.accuracy) == (0.5, 0.75)
    assert (shown.images_per_second, shown.seconds) == (48.0, 20.0)


def test_progress_before_the_first_step(prepared):
    shown = describe_progress(*prepared())
    assert (shown.done, shown.loss, shown.images_per_second, shown.seconds_left) == (0, 0, 0, 0)
