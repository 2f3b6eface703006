import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.report.curves import (
    HEIGHT,
    LABEL_GAP,
    MOST_MARKS,
    UNCHANGED,
    WIDTH,
    curve_note,
    learning_curves,
)
from striate.report.files import Point
from striate.training.sections import Augment


def line(at: int, **figures: object) -> Point:
    return Point(line=at, epoch=figures.pop("epoch", at), **figures)


def run(*shares: float | None) -> tuple[Point, ...]:
    return tuple(
        line(
            at,
            train_loss=2.0 / at,
            train_accuracy=0.5,
            validation_loss=1.0 / at,
            validation_accuracy=share,
        )
        for at, share in enumerate(shares, start=1)
    )


def test_curves_have_a_point_an_epoch_and_name_its_line() -> None:
    loss, accuracy = learning_curves(run(0.3, 0.6, 0.9), baseline=0.4)
    names = {series.name: series for series in accuracy.series}
    assert set(names) == {"training", "validation"}
    titles = [mark.title for mark in names["validation"].marks]
    assert titles[1].replace("\u00a0", " ") == "epoch 2: 60.0 % validation (line 2)"
    assert names["validation"].path.count("L") == 2
    assert accuracy.level is not None
    assert loss.level is None
    assert "validation from 30.0" in accuracy.summary


def test_the_kept_epoch_is_marked() -> None:
    points = (
        line(1, validation_loss=0.5),
        line(2, validation_loss=0.4),
        line(3, validation_loss=1),
    )
    loss, accuracy = learning_curves(points, baseline=None)
    assert accuracy is None
    assert loss.best_x == loss.series[0].marks[1].x
    assert "epoch 2" in curve_note(points, {})


def test_a_missing_figure_is_a_gap() -> None:
    _, accuracy = learning_curves(run(0.3, None, 0.9), baseline=None)
    validation = next(series for series in accuracy.series if series.name == "validation")
    assert validation.path.count("M") == 2
    assert len(validation.marks) == 2


def test_every_random_start_has_its_own_line() -> None:
    points = [line(at, epoch=e, restart=r, train_loss=1.0) for at, e, r in ((1, 1, 0), (2, 1, 1))]
    loss, _ = learning_curves(tuple(points), baseline=None)
    assert loss.series[0].path.count("M") == 2
    assert "random start" in curve_note(tuple(points), {})


def test_a_long_run_is_thinned_to_its_last_point() -> None:
    loss, _ = learning_curves(run(*[0.5] * 1000), baseline=None)
    marks = loss.series[0].marks
    assert len(marks) <= MOST_MARKS + 1
    assert marks[-1].title.startswith("epoch 1000:")


def test_nothing_measured_is_no_chart() -> None:
    assert learning_curves((), baseline=None) == (None, None)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_accuracy_at_the_end_of_its_range_stays_on_the_chart(share: float) -> None:
    _, accuracy = learning_curves(run(share), baseline=None)
    labels = [tick.label for tick in accuracy.y_ticks]
    assert labels[0] == "0%" or share
    assert labels[-1] in ("100%", "50%")


def test_the_note_tells_what_training_figures_are() -> None:
    note = curve_note(run(0.5), {"loss": {"label_smoothing": 0.2}})
    assert "labels smoothed by 0.2" in note
    assert "upright line" not in note
    assert "augmented" not in note
    assert "augmented" in curve_note(run(0.5), {"augment": {"flip": "none", "translate": 2}})


def test_the_neutral_settings_are_those_of_a_recipe() -> None:
    assert set(UNCHANGED) == set(Augment.model_fields)
    Augment.model_validate(UNCHANGED)


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(SHARES, st.floats(0, 1))
@settings(deadline=None)
def test_nothing_is_drawn_outside(shares: list[float], baseline: float) -> None:
    for chart in learning_curves(run(*shares), baseline=baseline):
        for series in chart.series:
            for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", series.path):
                assert chart.left <= float(x) <= chart.right <= WIDTH
                assert chart.top <= float(y) <= chart.bottom <= HEIGHT
        ends = sorted(series.label_y for series in chart.series)
        assert all(b - a >= LABEL_GAP - 1e-6 for a, b in pairwise(ends))
