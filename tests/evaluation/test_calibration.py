"""Temperature scaling and calibration error against scikit-learn, PyTorch and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    expected_calibration_error,
    fit_temperature,
    log_softmax,
    reliability_bins,
    softmax,
)


def sample(count, classes, seed, *, scale=2.0):
    """Logits, and labels drawn from exactly the probabilities that these stand for."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes)) * scale
    chance = generator.random((count, 1))
    labels = (softmax(logits).cumsum(axis=1) < chance).sum(axis=1).clip(0, classes - 1)
    return logits, labels


def test_softmax_is_that_of_pytorch_and_never_overflows():
    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]])
    expected = torch.log_softmax(torch.from_numpy(logits) / 0.5, dim=1).numpy()
    np.testing.assert_allclose(log_softmax(logits, temperature=0.5), expected, rtol=1e-12)
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_recovers_the_temperature_that_spoiled_the_logits(temperature):
    logits, labels = sample(40_000, 5, seed=1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.03)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 12), st.floats(0.01, 50))
def test_no_other_temperature_is_better(seed, count, classes, scale):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes)) * scale
    labels = generator.integers(0, classes, count)
    temperature = fit_temperature(logits, labels)
    assert MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE

    def loss(value):
        logs = log_softmax(logits, temperature=value)
        given = logs[np.arange(count), labels].mean()
        return -(count * given + logs.mean()) / (count + 1)

    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 301)
    assert loss(temperature) <= min(map(loss, grid)) * (1 + 1e-6) + 1e-12


def test_a_faultless_set_is_not_taken_for_certainty():
    labels = np.arange(100) % 10
    logits = np.eye(10)[labels] * 3
    confidence = softmax(logits, temperature=fit_temperature(logits, labels)).max(axis=1)
    assert 0.98 < confidence.max() < 0.9999


def test_nothing_to_learn_from_leaves_the_temperature_at_one():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == 1.0
    assert fit_temperature(np.ones((4, 3)), np.array([0, 1, 2, 0])) == 1.0


def test_scaling_repairs_the_calibration_error():
    logits, labels = sample(20_000, 10, seed=2)
    spoiled = logits * 4
    before = expected_calibration_error(softmax(spoiled), labels)
    temperature = fit_temperature(spoiled, labels)
    after = expected_calibration_error(softmax(spoiled, temperature=temperature), labels)
    assert before > 0.1
    assert after < 0.01


def test_calibration_error_of_a_case_done_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    labels = np.array([0, 1, 1, 0])
    # 0.9 twice, one right; 0.6, right; 0.5, right: (2 * 0.4 + 0.4 + 0.5) / 4
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.425)


def test_bins_agree_with_a_loop_over_their_definition():
    logits, labels = sample(500, 3, seed=3)
    probabilities = softmax(logits)
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    for index, (mean, accuracy, count) in enumerate(reliability_bins(probabilities, labels)):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        assert count == inside.sum()
        if count:
            assert mean == pytest.approx(confidence[inside].mean())
            assert accuracy == pytest.approx((predicted == labels)[inside].mean())
        else:
            assert mean == pytest.approx((index + 0.5) / 15)


def test_bins_include_both_ends():
    certain = np.array([[1.0, 0.0]])
    assert reliability_bins(certain, np.array([0]))[-1] == (1.0, 1.0, 1)
