"""The run folder: one writer, complete files, clear refusals."""

import json

import pytest

from striate.errors import BusyError, ModelError, ResourceError, UsageError
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


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {})
    with pytest.raises(BusyError, match=r"being written by process \d+"):
        RunFolder.open(tmp_path / "run")
    folder.close()
    RunFolder.open(tmp_path / "run").close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        RunFolder.create(tmp_path / "file" / "run")


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
