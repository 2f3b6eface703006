"""The tables of classes, layers, problems and provenance."""

import json

import pytest

from striate.nets import parse_net
from striate.report.classes import class_rows
from striate.report.facts import most_confused
from striate.report.files import ProblemRecord, read_files
from striate.report.layers import MOST_ROWS, layer_table
from striate.report.problems import FIRST_PATHS, MOST_PATHS, group_problems
from striate.report.provenance import flatten, provenance, trace
from striate.report.wording import DASH, by


def test_a_class_has_its_figures_and_its_rival(make_facts) -> None:
    scores = make_facts([[45, 5, 0], [0, 50, 0], [0, 0, 0]]).scores
    cat, dog, eel = class_rows(scores, most_confused(scores))
    assert (cat.recall, cat.precision) == ("90.0\u00a0%", "100\u00a0%")
    assert cat.taken_for == "dog (5)"
    assert cat.low < cat.bar < cat.high
    assert dog.taken_for == ""
    assert (eel.recall, eel.interval) == (DASH, "no images")


def test_the_layers_and_their_totals() -> None:
    table = layer_table(parse_net("conv3-16 relu maxpool2 fc-10").summary((8, 8, 3)))
    assert [row.text for row in table.rows] == ["conv3-16", "relu", "maxpool2", "fc-10"]
    assert table.rows[0].output == by((8, 8, 16))
    assert table.parameters == "3,018"
    assert sum(row.share for row in table.rows) == pytest.approx(100, abs=0.1)


def test_a_very_deep_net_is_cut() -> None:
    table = layer_table(parse_net("[relu]*400 fc-2").summary((4, 4, 1)))
    assert (len(table.rows), table.total) == (MOST_ROWS, 401)


def test_problems_are_grouped_by_kind() -> None:
    many = tuple(f"cats/{at}.jpg" for at in range(100))
    groups = group_problems(
        [
            ProblemRecord(kind="near-duplicate", paths=many, message="look alike"),
            ProblemRecord(kind="imbalance", message="uneven"),
            ProblemRecord(kind="near-duplicate", paths=("a", "b"), message="look alike"),
        ]
    )
    first, second = groups
    assert (first.kind, first.size) == ("Near duplicate", "102\u00a0entries")
    assert first.messages == ("look alike",)
    assert len(first.paths) == FIRST_PATHS
    assert len(first.more_paths) == MOST_PATHS - FIRST_PATHS
    assert first.left_out == 102 - MOST_PATHS
    assert second.size == "1\u00a0finding"


def test_the_provenance_holds_recipe_seed_machine_and_hashes(trained) -> None:
    tables = dict(provenance(read_files(trained.path)).tables)
    assert dict(tables["Recipe"])["optimizer.lr"] == "0.02"
    assert dict(tables["Run"])["seed"] == "0"
    assert "processor" in dict(tables["Machine"])
    assert dict(tables["Data"])["manifest SHA-256"] == trained.data.manifest_hash
    assert set(dict(tables["Files, SHA-256"])) == {
        "run.json",
        "metrics.jsonl",
        "predictions.csv",
        "evaluation.json",
    }


def test_every_figure_names_a_line_that_holds_it(trained) -> None:
    files = read_files(trained.path)
    accuracy = trace(files)["accuracy"]
    lines = (trained.path / accuracy.file).read_text().splitlines()
    line = lines[int(accuracy.lines.removeprefix("line ")) - 1]
    assert json.loads("{" + line.strip().rstrip(",") + "}") == {"accuracy": files.scores.accuracy}


def test_settings_are_named_as_they_are_set() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}}, "d": [1, 2]})) == {"a.b.c": 1, "d": [1, 2]}
