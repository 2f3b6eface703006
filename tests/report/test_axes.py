import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.report.axes import Scale, round_ticks, tick_label

FIGURES = st.floats(-1e6, 1e6, allow_nan=False)


@given(FIGURES, FIGURES, st.integers(2, 10))
@settings(deadline=None)
def test_ticks_enclose_the_figures_and_are_few(a: float, b: float, count: int) -> None:
    low, high = sorted((a, b))
    ticks = round_ticks(low, high, count=count)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= count + 2
    assert list(ticks) == sorted(set(ticks))


@given(st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_a_scale_keeps_order(a: float, b: float) -> None:
    scale = Scale(0, 1, 40, 400)
    assert (a <= b) or scale(a) >= scale(b)
    assert 40 <= scale(a) <= 400


def test_a_scale_of_one_value_puts_it_in_the_middle() -> None:
    assert Scale(3, 3, 0, 10)(3) == 5


@pytest.mark.parametrize(
    ("value", "step", "label"),
    [
        (0.5, 0.25, "0.50"),
        (40, 20, "40"),
        (1, 0.5, "1.0"),
        (0.002, 0.001, "0.002"),
        (5, 2.5, "5.0"),
    ],
)
def test_labels_have_the_decimals_that_the_step_needs(
    value: float, step: float, label: str
) -> None:
    assert tick_label(value, step) == label
