"""What a training says of its data: problems by kind, and where the split is not as asked for."""

import dataclasses

import numpy as np
import pytest

from striate.data import TEST, TRAIN, UNASSIGNED, VALIDATION, Data, Problem
from striate.jobs.remarks import MOST_LINES, describe_problems, describe_split

MESSAGE = "no image"


@pytest.fixture
def data():
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8)
    return Data.from_arrays(images, np.arange(40) % 2)


def with_problems(data, *problems):
    return dataclasses.replace(data, problems=problems)


def test_data_without_problems_are_not_spoken_of(data):
    assert describe_problems(data) == []


def test_a_kind_of_problem_is_one_line_with_count_and_first_path(data):
    bad = [Problem("unreadable", (f"a/{n}.jpg",), MESSAGE) for n in range(3)]
    uneven = Problem("imbalance", (), "the largest class has many")
    assert describe_problems(with_problems(data, *bad, uneven)) == [
        "3 unreadable files are left out, the first is a/0.jpg: no image (see striate check)",
        "imbalance: the largest class has many (see striate check)",
    ]
    one = Problem("vanished", ("x.png",), "it is gone")
    twins = [Problem("duplicate", ("a", "b"), "2 files hold the same image")] * 2
    assert describe_problems(with_problems(data, one, *twins)) == [
        "1 vanished file is left out, the first is x.png: it is gone (see striate check)",
        "duplicate 2 times: 2 files hold the same image, the first is a (see striate check)",
    ]


def test_many_kinds_are_cut_short(data):
    lines = describe_problems(with_problems(data, *(Problem(f"k{n}", (), "m") for n in range(11))))
    assert len(lines) == MOST_LINES
    assert lines[-1] == "4 more kinds of problems (see striate check)"


def remarks(data, splits, given, **shares):
    before = dataclasses.replace(data, splits=np.array(splits, np.int8))
    return describe_split(before, before.split(**shares), given=given)


@pytest.mark.parametrize("given", [{"data.test": 0.2}, {"data": {"test": 0.2}}])
def test_a_share_has_no_effect_where_the_source_names_the_images(data, given):
    (line,) = remarks(data, [TRAIN] * 30 + [TEST] * 10, given)
    assert line == "--test (data.test) has no effect: the source names its test images"
    assert remarks(data, [UNASSIGNED] * 40, given) == []
    assert remarks(data, [TRAIN] * 30 + [TEST] * 10, {"epochs": 3}) == []


def test_training_images_that_become_the_test_are_counted(data):
    splits = [TRAIN] * 30 + [VALIDATION] * 10
    (line,) = remarks(data, splits, {})
    assert line.startswith("the source names no test images: 5 of its training images are kept")
    assert remarks(data, splits, {}, test=0) == []


def test_problems_are_said_and_logged(photos, train_tiny, heard):
    (photos / "ash" / "broken.png").write_bytes(b"")
    run = train_tiny(data=photos, events=heard, epochs=1, net="fc-3")
    (line,) = [said for said in heard.said if "unreadable" in said]
    assert line.startswith("1 unreadable file is left out, the first is ash/broken.png: ")
    assert line in (run.path / "log.txt").read_text()
