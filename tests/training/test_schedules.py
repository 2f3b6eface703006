import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.training.schedules import schedule_factor
from striate.training.sections import Schedule

NAMES = ("constant", "linear", "cosine", "one_cycle", "step", "inverse")


def at(progress: float, **fields: object) -> float:
    return schedule_factor(Schedule.model_validate(fields), progress)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", (1, 1, 1, 1)),
        ("linear", (1, 0.75, 0.5, 0)),
        ("cosine", (1, (1 + math.sqrt(0.5)) / 2, 0.5, 0)),
        ("step", (1, 1, 0.1, 0.01)),
        ("inverse", (1, 25.75**-0.5, 50.5**-0.5, 0.1)),
    ],
)
def test_each_falls_as_it_says(name, values):
    found = [at(progress, name=name) for progress in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx(values)


def test_one_cycle_rises_over_three_tenths_and_falls():
    assert at(0, name="one_cycle") == pytest.approx(1 / 25)
    assert at(0.15, name="one_cycle") == pytest.approx(0.52)
    assert at(0.3, name="one_cycle") == 1
    assert at(0.65, name="one_cycle") == pytest.approx(0.5)
    assert at(1, name="one_cycle") == 0
    assert at(0.1, name="one_cycle", warmup=0.1) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_warm_up_rises_to_one(name):
    rising = [at(progress, name=name, warmup=0.2) for progress in (0, 0.05, 0.1, 0.15, 0.2)]
    assert rising == pytest.approx([0.04, 0.28, 0.52, 0.76, 1])


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_floor_is_the_lowest_value(name):
    fields = {"name": name, "floor": 0.2, "milestones": (0.3, 0.5, 0.7)}
    assert at(1, **fields) == pytest.approx(0.2)
    assert min(at(step / 50, **fields) for step in range(15, 51)) == pytest.approx(0.2)


def test_milestones_multiply():
    fields = {"name": "step", "milestones": (0.2, 0.4, 0.9), "factor": 0.5}
    found = [at(progress, **fields) for progress in (0.1, 0.2, 0.5, 0.95)]
    assert found == pytest.approx([1, 0.5, 0.25, 0.125])


@settings(deadline=None)
@given(
    st.sampled_from(NAMES),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 0.9),
    st.floats(0, 1),
)
def test_factors_lie_between_0_and_1_and_never_rise_after_the_warm_up(name, p, q, warmup, floor):
    low, high = sorted((p, q))
    fields = {"name": name, "warmup": warmup, "floor": floor}
    first, second = at(low, **fields), at(high, **fields)
    assert 0 <= first <= 1
    if low >= (warmup or 0.3 * (name == "one_cycle")):
        assert second <= first + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_beyond_the_end_is_the_end(name):
    assert at(1.01, name=name) == at(1, name=name)
