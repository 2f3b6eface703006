"""Early stopping as Algorithm 7.1, and the share of a budget."""

import math

from hypothesis import given
from hypothesis import strategies as st

from striate.training.stopping import Patience, next_progress


def algorithm_7_1(losses, p):
    """The deck's pseudo-code: the index of the best evaluation, and the number made."""
    j, best, best_index, i = 0, math.inf, None, 0
    while j < p and i < len(losses):
        if losses[i] < best:
            j, best_index, best = 0, i, losses[i]
        else:
            j += 1
        i += 1
    return best_index, i


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(1, 5))
def test_patience_is_algorithm_7_1(losses, limit):
    patience, best_index, seen = Patience(limit), None, 0
    for index, loss in enumerate(losses):
        best_index = index if patience.observe(loss) else best_index
        seen += 1
        if patience.exhausted:
            break
    assert (best_index, seen) == algorithm_7_1(losses, limit)


def test_no_limit_never_stops():
    patience = Patience(0)
    for _ in range(100):
        patience.observe(1.0)
    assert not patience.exhausted


def test_a_number_that_is_none_is_never_the_best():
    assert not Patience(1).observe(math.nan)


@given(st.integers(1, 500))
def test_without_a_budget_progress_is_even_and_ends_at_one(steps):
    progress = 0.0
    for step in range(steps):
        assert math.isclose(progress, step / steps, abs_tol=1e-9)
        progress = next_progress(progress, steps=steps - step, seconds=math.inf, step_time=1.0)
    assert progress == 1.0


def test_a_budget_ends_the_schedule_with_the_time():
    progress, clock, steps = 0.0, 0.0, 0
    while progress < 1:
        progress = next_progress(
            progress, steps=10_000 - steps, seconds=60 - clock, step_time=0.5 if steps else 0.0
        )
        clock += 0.5
        steps += 1
    assert 58 <= clock <= 60.5


def test_a_spent_budget_ends_at_the_next_step():
    assert next_progress(0.3, steps=100, seconds=-5.0, step_time=1.0) == 1.0


def test_a_slow_step_takes_the_share_of_its_time_and_no_more():
    after_a_slow_one = next_progress(0.0, steps=10_000, seconds=9.0, step_time=1.0)
    assert math.isclose(after_a_slow_one, 0.1)
    assert next_progress(after_a_slow_one, steps=9_999, seconds=8.99, step_time=0.01) < 0.102
