"""The run folder: one writer, complete files, clear refusals."""

import json

import pytest

from striate.errors import (
    BusyError,
    DivergedError,
    InterruptedRunError,
    ModelError,
    ResourceError,
    TerminatedRunError,
    UsageError,
)
from striate.training.events import Measurement
from striate.training.folder import RunFolder, read_measurements, read_run


def measurement(epoch, restart=0):
    return Measurement(
        epoch=epoch,
        step=10 * epoch,
        restart=restart,
        seconds=1.0,
        train_loss=0.5,
        train_accuracy=0.9,
        validation_loss=None,
        validation_accuracy=None,
        learning_rate=0.1,
        images_per_second=100.0,
    )


def test_measurements_are_kept_up_to_the_epoch_that_is_measured_again(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    for restart in range(2):
        for epoch in (1, 2, 3):
            folder.append_measurement(measurement(epoch, restart))
    folder.keep_measurements(1, 2)
    kept = [(line["restart"], line["epoch"]) for line in read_measurements(folder.path)]
    assert kept == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    folder.close()


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.append_measurement(measurement(1))
    folder.close()
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    assert [line["epoch"] for line in read_measurements(tmp_path / "run")] == [1]


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty.*another --out"):
        RunFolder.create(tmp_path / "run")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "left", [[], ["log.txt", "split.csv", ".split.csv.1x", ".run.json.0.partial"]]
)
def test_what_a_kill_before_the_description_leaves_is_taken_over(tmp_path, left):
    RunFolder.create(tmp_path / "run").close()
    for name in left:
        (tmp_path / "run" / name).write_text("half")
    RunFolder.create(tmp_path / "run").close()
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "checkpoints/step-1.safetensors"])
def test_what_comes_later_is_never_taken_over(tmp_path, name):
    RunFolder.create(tmp_path / "run").close()
    (tmp_path / "run" / name).write_text("{}")
    with pytest.raises(UsageError, match="is not empty.*striate resume"):
        RunFolder.create(tmp_path / "run")


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_a_file_is_no_run_folder(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file, or lies in one.*another --out"):
        RunFolder.create(tmp_path / path)
    with pytest.raises(UsageError, match="is a file, or lies in one"):
        RunFolder.create_next(tmp_path / "file", "digits")


def test_the_next_folder_is_nobody_elses(tmp_path):
    first, second = (RunFolder.create_next(tmp_path / "runs", "digits") for _ in range(2))
    assert (first.path.name, second.path.name) == ("digits-1", "digits-2")
    first.close()
    second.close()


@pytest.mark.parametrize(
    "error", [InterruptedRunError("x"), TerminatedRunError("x"), DivergedError("x")]
)
def test_how_a_run_ended_early_is_written_down(tmp_path, error):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"status": "running", "result": None})
    with pytest.raises(type(error)), folder.marked():
        raise error
    assert read_run(folder.path)["status"] == error.kind
    with folder.marked():
        assert read_run(folder.path)["status"] == "running"
    folder.write_json("run.json", {"status": "finished", "result": {}})
    with pytest.raises(type(error)), folder.marked():
        raise error
    assert read_run(folder.path)["status"] == "finished"
    folder.close()


@pytest.mark.parametrize("line", [b"[]", b"{}", b"7", b"\xff", b"[" * 100_000, b'{"epoch": "1"}'])
def test_a_damaged_measurement_is_one_clear_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ModelError, match=r"metrics\.jsonl: line 1 is ") as caught:
        read_measurements(tmp_path)
    assert "\n" not in str(caught.value)


def test_measurements_have_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr("striate.training.folder.LARGEST_DOCUMENT", 10)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "restart": 0}\n')
    with pytest.raises(ModelError, match="is larger than"):
        read_measurements(tmp_path)


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {})
    with pytest.raises(BusyError, match=r"being written by process \d+"):
        RunFolder.open(tmp_path / "run")
    folder.close()
    RunFolder.open(tmp_path / "run").close()


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written: File name too long"):
        RunFolder.create(tmp_path / ("x" * 300))


def test_too_little_space_is_refused_with_both_numbers(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(ResourceError, match=r"MB free, 1000000000 MB needed"):
        folder.require_space(10**15)
    folder.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "object was expected"), ("{", "not valid JSON"), ("[" * 10_000, "nested")],
)
def test_a_damaged_description_is_one_clear_line(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_run(tmp_path)


def test_a_folder_without_description_is_no_run(tmp_path):
    with pytest.raises(ModelError, match="no run folder"):
        read_run(tmp_path)
    with pytest.raises(UsageError, match="no run folder"):
        RunFolder.open(tmp_path)


def test_the_log_is_one_line_an_entry(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.log("two\nlines \x1b[2J")
    assert (folder.path / "log.txt").read_text().count("\n") == 1
    assert "\x1b" not in (folder.path / "log.txt").read_text()
    folder.close()


def test_json_is_read_back(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"a": "\udcff"})
    assert json.loads((folder.path / "run.json").read_text()) == {"a": "\udcff"}
    assert read_run(folder.path) == {"a": "\udcff"}
    folder.close()
