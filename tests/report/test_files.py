import json
from collections.abc import Callable

import numpy as np
import pytest

from striate.errors import ModelError
from striate.report.files import line_of, read_files


def test_a_run_is_read_as_it_was_written(trained) -> None:
    files = read_files(trained.path)
    assert files.split == "test"
    assert files.scores.images == len(files.predictions)
    assert files.scores.accuracy == pytest.approx(1 - files.predictions.wrong.mean())
    assert files.run.command == "striate train digits --epochs 6"
    assert files.name == "digits-1"
    assert [point.line for point in files.points] == [1, 2, 3, 4, 5, 6]
    assert {source.name for source in files.sources} >= {"run.json", "metrics.jsonl"}


def test_every_prediction_stands_on_the_line_it_names(trained) -> None:
    lines = (trained.path / "predictions.csv").read_text().splitlines()
    predictions = read_files(trained.path).predictions
    for at in (0, len(predictions) - 1):
        index, name, split, *_ = lines[predictions.lines[at] - 1].split(",")
        assert (int(index), name, split) == (
            predictions.indices[at],
            predictions.names[at],
            "test",
        )


def test_a_name_with_a_line_break_and_a_raw_byte_is_one_name(trained) -> None:
    path = trained.path / "predictions.csv"
    header, first = path.read_bytes().splitlines(keepends=True)[:2]
    row = first.replace(b"train/", b'"a\n\xff<script>').replace(b",validation", b'",test')
    path.write_bytes(header + row)
    predictions = read_files(trained.path).predictions
    assert len(predictions) == 1
    assert predictions.names[0].startswith("a\n\udcff<script>")


def test_without_a_test_split_the_report_speaks_of_validation(trained) -> None:
    trained.write("evaluation.json", {**trained.read("evaluation.json"), "test": None})
    files = read_files(trained.path)
    assert files.split == "validation"
    assert len(files.predictions) == files.scores.images


def test_a_run_that_was_not_evaluated_has_no_scores(trained) -> None:
    (trained.path / "evaluation.json").unlink()
    (trained.path / "metrics.jsonl").unlink()
    files = read_files(trained.path)
    assert (files.split, files.scores, files.points) == (None, None, ())
    assert len(files.predictions) == 0


def test_a_figure_that_is_no_number_is_missing(trained) -> None:
    path = trained.path / "metrics.jsonl"
    first = {**json.loads(path.read_text().splitlines()[0]), "train_loss": float("nan")}
    path.write_text(json.dumps(first) + "\n" + '{"epoch": 2, "train_lo')
    (point,) = read_files(trained.path).points
    assert point.train_loss is None
    assert point.validation_loss is not None


def _drop_seed(document: dict) -> None:
    del document["seed"]


def _name_one_class_less(document: dict) -> None:
    document["data"]["classes"].pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [(_drop_seed, "seed: Field required"), (_name_one_class_less, "does not fit the 9 classes")],
)
def test_a_run_document_that_does_not_fit_is_refused(
    trained, change: Callable[[dict], None], message: str
) -> None:
    document = trained.read("run.json")
    change(document)
    trained.write("run.json", document)
    with pytest.raises(ModelError, match=message):
        read_files(trained.path)


@pytest.mark.parametrize(
    "row",
    [
        "x,a,test,0,0,0.5,0.5",
        "1,a,test,no such class,0,0.5,0.5",
        "1,a,test,0,0,much,0.5",
        "1,a,test",
    ],
)
def test_a_damaged_line_of_predictions_is_named(trained, row: str) -> None:
    path = trained.path / "predictions.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n" + row + "\n")
    with pytest.raises(ModelError, match=r"predictions\.csv: line 2 is no prediction"):
        read_files(trained.path)


def test_predictions_with_other_columns_are_refused(trained) -> None:
    (trained.path / "predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ModelError, match="line 2 is no prediction"):
        read_files(trained.path)


def test_the_line_of_a_key_is_the_one_an_editor_shows(tmp_path) -> None:
    path = tmp_path / "a.json"
    document = {"other": {"accuracy": 1}, "test": {"loss": [1, 2], "accuracy": 0.5}}
    path.write_text(json.dumps(document, indent=1))
    line = line_of(path, "test", "accuracy")
    assert path.read_text().splitlines()[line - 1] == '  "accuracy": 0.5'
    assert line_of(path, "test", "absent") is None


def test_predictions_of_no_rows_have_the_right_types(trained) -> None:
    (trained.path / "predictions.csv").unlink()
    predictions = read_files(trained.path).predictions
    assert predictions.labels.dtype == np.int64
    assert predictions.wrong.shape == (0,)
