"""Going on with a run: to the straight run's files, on the run's own split, or a clear refusal."""

import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest

import striate
from striate.data import TEST, Data, load_data
from striate.errors import CheckpointError, ModelError, TerminatedRunError, UsageError
from striate.jobs.resume import resume
from striate.model import hash_tensors, load_tensors
from striate.training import compiling
from striate.training.checkpoint import list_checkpoints
from striate.training.events import Events
from striate.training.folder import read_measurements, read_run

REWRITTEN = (
    "evaluation.json",
    "metrics.jsonl",
    "model.safetensors",
    "predictions.csv",
    "report.html",
    "run.json",
    "split.csv",
)

COMPILES = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)


class StopAfter(Events):
    """Ends the process's training after some epochs, as a terminated job's would end."""

    def __init__(self, epochs):
        self.epochs = epochs

    def measured(self, measurement):
        if measurement.epoch == self.epochs:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def copied(finished_run, tmp_path):
    """A finished run that may be changed."""
    out = tmp_path / "copied"
    shutil.copytree(finished_run.path, out)
    return out


def stop_after(last, train_tiny, **settings):
    with pytest.raises(TerminatedRunError) as caught:
        train_tiny(events=StopAfter(last), **settings)
    return caught.value.path


def change(run, edit):
    document = json.loads((run / "run.json").read_text())
    edit(document)
    (run / "run.json").write_text(json.dumps(document))


def test_a_finished_run_is_written_again_as_it_is(finished_run):
    before = {name: (finished_run.path / name).read_bytes() for name in REWRITTEN}
    again = resume(finished_run.path)
    assert again == finished_run
    for name in REWRITTEN:
        assert (finished_run.path / name).read_bytes() == before[name], name


def test_a_stopped_run_ends_as_the_straight_one(train_tiny, finished_run, tmp_path):
    path = stop_after(2, train_tiny)
    description = read_run(tmp_path / "run")
    assert (description["status"], description["result"]) == ("terminated", None)
    run = resume(path)
    assert (run.epochs, run.steps, run.stopped) == (4, 36, "finished")
    assert run.test == finished_run.test
    assert [line["epoch"] for line in read_measurements(run.path)] == [1, 2, 3, 4]
    assert "resumed at step 18" in (run.path / "log.txt").read_text()
    for name in ("predictions.csv", "evaluation.json", "split.csv"):
        assert (run.path / name).read_bytes() == (finished_run.path / name).read_bytes()


@pytest.mark.parametrize("kernels", ["off", pytest.param("compiled", marks=COMPILES)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler, by itself
def test_a_run_without_our_operators_goes_on_without(kernels, train_tiny, tmp_path, monkeypatch):
    choices = {"net": "conv3-4 bn relu maxpool2 fc-3", "kernels": kernels}
    straight = train_tiny(out="straight", **choices)
    stopped = stop_after(2, train_tiny, **choices)
    monkeypatch.setattr(compiling, "_compiled_for", [])  # as in another process
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    run = resume(stopped)
    assert read_run(run.path)["recipe"]["kernels"] == kernels
    found, right = (load_tensors(each.path / "model.safetensors")[0] for each in (run, straight))
    assert hash_tensors(found) == hash_tensors(right)
    assert run.test == straight.test


def test_patience_counts_on_where_it_was(train_tiny):
    crawl = {"optimizer__name": "sgd", "optimizer__lr": 1e-9, "stop__patience": 4, "epochs": 50}
    straight = train_tiny(out="straight", **crawl)
    path = stop_after(straight.epochs - 2, train_tiny, **crawl)
    run = resume(path)
    assert (run.stopped, run.epochs) == ("patience", straight.epochs)


def test_a_later_start_goes_on(train_tiny):
    settings = {"stop__restarts": 3, "epochs": 2}
    straight = train_tiny(out="straight", **settings)

    class StopInTheSecondStart(Events):
        def measured(self, measurement):
            if (measurement.restart, measurement.epoch) == (1, 1):
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TerminatedRunError) as caught:
        train_tiny(events=StopInTheSecondStart(), **settings)
    run = resume(caught.value.path)
    assert run.epochs == straight.epochs == 6
    assert run.test == straight.test


def test_a_run_killed_before_its_first_checkpoint_begins_again(copied, finished_run):
    for checkpoint in list_checkpoints(copied / "checkpoints"):
        checkpoint.unlink()
    (copied / "metrics.jsonl").unlink()
    run = resume(copied)
    assert run.test == finished_run.test
    assert "resumed at step 0" in (copied / "log.txt").read_text()


def test_checkpoints_that_are_gone_are_said(copied):
    shutil.rmtree(copied / "checkpoints")
    (copied / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        resume(copied)


def test_the_split_of_the_run_is_kept_whoever_made_it(train_tiny, tiny_data, tmp_path):
    mine = load_data(tiny_data).split(validation=0.3, test=0.4, seed=9)
    path = stop_after(2, train_tiny, data=mine)
    straight = train_tiny(data=mine, out="straight")
    run = resume(path)
    assert run.test == straight.test
    assert run.test["images"] == len(mine.indices(TEST)) == 77
    assert striate.evaluate(path).to_json() == run.test


def test_the_size_that_python_loaded_is_kept(train_tiny, photos):
    data = load_data(photos, size=12, resize="pad")
    path = stop_after(2, train_tiny, data=data)
    straight = train_tiny(data=data, out="straight")
    assert resume(path).test == straight.test


def test_a_run_on_arrays_goes_on_with_the_arrays(train_tiny, tiny_data):
    with np.load(tiny_data) as arrays:
        data = Data.from_arrays(arrays["images"], arrays["labels"])
    path = stop_after(2, train_tiny, data=data)
    with pytest.raises(UsageError, match="trained on arrays, which are not kept.*striate.resume"):
        resume(path)
    assert resume(path, data=data).stopped == "finished"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: dataclasses.replace(data, labels=data.labels[::-1].copy()),
        lambda data: dataclasses.replace(data, contents=data.contents[::-1].copy()),
        lambda data: dataclasses.replace(data, images=data.images[:, :4]),
    ],
    ids=["labels", "contents", "size"],
)
def test_other_data_is_refused(spoil, copied, tiny_data):
    with pytest.raises(CheckpointError, match="belongs to another run: data "):
        resume(copied, data=spoil(load_data(tiny_data)))


def test_another_split_in_the_manifest_is_refused(copied):
    manifest = copied / "split.csv"
    manifest.write_text(manifest.read_text().replace(",train\n", ",test\n", 1))
    with pytest.raises(CheckpointError, match="belongs to another run: split "):
        resume(copied)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_text("name,label,split\nx,0,train\n"), "names other images"),
        (lambda path: path.write_text("name,label,split\nx,0,twist\n"), "line 2 names .*'twist'"),
        (lambda path: path.write_text("name,label,split\nx,0,train\nx,0\n"), "line 3 names"),
        (lambda path: path.write_text("name,label\nx,0\n"), "has no column 'split'"),
    ],
)
def test_a_damaged_manifest_of_the_split_is_refused(spoil, message, copied):
    spoil(copied / "split.csv")
    with pytest.raises(ModelError, match=message) as caught:
        resume(copied)
    assert caught.value.status == 4


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.pop("net"), "no usable 'net'"),
        (lambda d: d.pop("seed"), "no usable 'seed'"),
        (lambda d: d.update(seed="x"), "no usable invalid literal"),
        (lambda d: d.update(threads=None), "no usable int"),
        (lambda d: d.update(threads=0), "asks for 0 threads"),
        (lambda d: d.update(threads=10**9), "asks for 1000000000 threads"),
        (lambda d: d.pop("data"), "no usable 'data'"),
        (lambda d: d.update(data=[]), "no usable list"),
        (lambda d: d["data"].pop("source"), "no usable 'source'"),
        (lambda d: d["data"].update(source=[5]), "names no source of data"),
        (lambda d: d.update(precision="fp8"), "precision"),
        (lambda d: d.pop("created"), "no usable 'created'"),
        (lambda d: d.update(versions=[]), "no usable 'versions'"),
        (lambda d: d.update(notes="x"), "no usable 'notes'"),
    ],
)
def test_a_damaged_description_is_one_line_with_status_4(edit, message, copied):
    change(copied, edit)
    with pytest.raises(CheckpointError, match=message) as caught:
        resume(copied)
    assert caught.value.status == 4
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="is no run folder"):
        resume(tmp_path)


def test_a_warning_is_not_written_twice(train_tiny):
    run = train_tiny(epochs=1, optimizer__name="sgd", optimizer__lr=1e-12)
    resume(run.path)
    notes = read_run(run.path)["notes"]
    assert len(notes) == len(set(notes))
    assert sum("commonest class" in note for note in notes) == 1
