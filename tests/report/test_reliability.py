import math

import numpy as np
import pytest

from striate.evaluation import expected_calibration_error
from striate.report.files import Predictions, read_files
from striate.report.reliability import bins_of, calibration_noise, reliability_diagram


def predictions(probability: np.ndarray, right: np.ndarray) -> Predictions:
    count = len(probability)
    return Predictions(
        names=("x",) * count,
        indices=np.arange(count),
        labels=np.zeros(count, np.int64),
        predicted=np.where(right, 0, 1),
        probability=probability,
        label_probability=probability,
        lines=np.arange(count) + 2,
    )


def test_the_bins_are_those_of_the_calibration_error(trained) -> None:
    files = read_files(trained.path)
    found = bins_of(files.predictions)
    error = sum(count * abs(sure - right) for sure, right, count in found) / files.scores.images
    assert error == pytest.approx(files.scores.ece, abs=1e-4)


def test_every_group_is_a_dot_with_its_interval() -> None:
    probability = np.repeat([0.55, 0.95], [10, 90])
    right = np.concatenate([np.arange(10) < 5, np.arange(90) < 85])
    diagram = reliability_diagram(predictions(probability, right))
    assert len(diagram.dots) == 2
    for dot in diagram.dots:
        assert diagram.top <= dot.top <= dot.y <= dot.bottom <= diagram.bottom
    assert diagram.dots[1].radius > diagram.dots[0].radius
    assert "says 55.0\u00a0%, is right 50.0\u00a0%" in diagram.dots[0].title


def test_without_predictions_there_is_no_diagram() -> None:
    nothing = predictions(np.zeros(0), np.zeros(0, bool))
    assert reliability_diagram(nothing) is None
    assert calibration_noise(nothing) == 0


def test_the_noise_is_what_a_calibrated_net_shows() -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(0.55, 0.99, 300)
    errors = []
    for _ in range(200):
        right = random.uniform(size=300) < probability
        stated = np.stack([probability, 1 - probability], axis=1)
        errors.append(expected_calibration_error(stated, np.where(right, 0, 1)))
    predicted = calibration_noise(predictions(probability, np.ones(300, bool)))
    assert math.isclose(np.mean(errors), predicted, rel_tol=0.15)
