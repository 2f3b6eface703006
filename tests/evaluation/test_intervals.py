"""The Wilson interval against its definition and published values."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import UsageError
from striate.evaluation.intervals import wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(
    st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.floats(0.5, 0.999),
)
def test_ends_are_where_the_score_test_just_rejects(counts, confidence):
    successes, trials = counts
    low, high = wilson_interval(successes, trials, confidence=confidence)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    scores = [
        abs(share - end) / math.sqrt(end * (1 - end) / trials) for end in (low, high) if 0 < end < 1
    ]
    # Both ends lie at the same number of standard errors from the share, those of the end itself.
    assert scores
    assert all(score == pytest.approx(scores[0], rel=1e-4) for score in scores)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_refuses_impossible_counts(successes, trials):
    with pytest.raises(UsageError, match="give no interval"):
        wilson_interval(successes, trials)


def test_refuses_an_impossible_confidence():
    with pytest.raises(UsageError, match="not between 0 and 1"):
        wilson_interval(1, 2, confidence=1.0)
