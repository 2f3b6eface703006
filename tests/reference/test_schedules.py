"""Schedules and stopping against scikit-learn's and training's."""

import warnings
from itertools import islice, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from striate.reference.optimizers import gradient_descent
from striate.reference.schedules import SMALLEST, Adaptive, constant, inverse_scaling
from striate.reference.stopping import early_stopping
from striate.training.schedules import schedule_factor
from striate.training.sections import Schedule
from striate.training.stopping import Patience


def test_constant_and_inverse_scaling():
    assert list(islice(constant(0.3), 3)) == [0.3] * 3
    assert list(islice(inverse_scaling(0.3), 4)) == pytest.approx(
        [0.3, 0.3 / 2**0.5, 0.3 / 3**0.5, 0.15]
    )


def test_inverse_scaling_is_training_s():
    rates = list(islice(inverse_scaling(1.0, power=0.7), 100))
    schedule = Schedule.model_validate({"name": "inverse", "power": 0.7})
    for t in (1, 2, 50, 100):  # training's t grows from 1 to 100 over the run
        assert rates[t - 1] == pytest.approx(schedule_factor(schedule, (t - 1) / 99))


@pytest.mark.parametrize("patience", [1, 3])
def test_the_adaptive_rate_is_scikit_learns(patience):
    generator = np.random.default_rng(0)
    images, labels = generator.standard_normal((60, 4)), generator.integers(0, 2, 60)
    net = MLPClassifier(
        (5,), solver="sgd", learning_rate="adaptive", learning_rate_init=0.5, tol=1e-3,
        n_iter_no_change=patience, max_iter=60, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(images, labels)
    rates = Adaptive(0.5, patience=patience, tolerance=1e-3)
    for loss in net.loss_curve_:
        rates.observe(loss)
    assert rates.rate == pytest.approx(net._optimizer.learning_rate)
    assert rates.rate < 0.5


def test_an_adaptive_rate_ends_the_training_when_it_is_too_small():
    rates = Adaptive(1.0, patience=0)
    steps = 0
    for _ in gradient_descent(np.ones(1), lambda theta: theta, rates):
        steps += 1
        rates.observe(1.0)
    assert rates.rate <= SMALLEST
    assert steps == 10  # nine divisions by 5 lead below 1e-6; the first loss was progress


@given(
    errors=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    n=st.integers(1, 4),
    p=st.integers(1, 4),
)
@settings(deadline=None)
def test_early_stopping_is_training_s_patience(errors, n, p):
    thetas = iter([np.array(float(t)) for t in range(1, n * len(errors) + 1)])
    best, best_i = early_stopping(thetas, lambda theta: errors[int(theta) // n - 1], n=n, p=p)
    patience, expected = Patience(p), 0
    for place, error in enumerate(errors, start=1):
        if patience.observe(error):
            expected = place * n
        if patience.exhausted:
            break
    assert best_i == expected == int(best)
    # it looked no further than it had to
    assert next(thetas, np.array(n * len(errors) + 1.0)) == place * n + 1


def test_early_stopping_keeps_the_best():
    thetas = gradient_descent(np.array([4.0]), lambda theta: theta, repeat(0.5))
    best, steps = early_stopping(thetas, lambda theta: abs(float(theta[0]) - 0.5), n=1, p=3)
    assert (best.tolist(), steps) == ([0.5], 3)


def test_early_stopping_of_a_training_without_an_evaluation():
    with pytest.raises(ValueError, match="before its first evaluation"):
        early_stopping(iter([np.zeros(1)]), lambda theta: 0.0, n=2, p=1)
