"""Penalties against numerical differences, training's, and what the deck says of them."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.reference.regularizers import (
    decayed,
    elastic_net,
    elastic_net_gradient,
    l1,
    l1_gradient,
    l2,
    l2_gradient,
    soft_threshold,
)
from striate.training.regularize import Regularizer
from striate.training.sections import Regularize

THETA = np.array([[1.5, -2.0, 0.25], [-0.5, 3.0, 1.0]])


@pytest.mark.parametrize(
    ("penalty", "gradient", "alphas"),
    [
        (l1, l1_gradient, (0.3,)),
        (l2, l2_gradient, (0.7,)),
        (elastic_net, elastic_net_gradient, (0.3, 0.7)),
    ],
)
def test_gradients_agree_with_numerical_differences(penalty, gradient, alphas):
    for place in np.ndindex(THETA.shape):
        move = np.zeros_like(THETA)
        move[place] = 1e-5
        slope = (penalty(THETA + move, *alphas) - penalty(THETA - move, *alphas)) / 2e-5
        assert gradient(THETA, *alphas)[place] == pytest.approx(slope, abs=1e-8)


def test_the_penalty_is_training_s():
    module = nn.Linear(3, 2).double()
    module.weight.data = torch.from_numpy(THETA.copy())
    trained = Regularizer(Regularize.model_validate({"l1": 0.3, "l2": 0.7}), classes=2)
    assert trained.penalty(module).item() == pytest.approx(elastic_net(THETA, 0.3, 0.7))


def test_a_step_with_l2_is_weight_decay():
    slope = np.cos(THETA)
    step = THETA - 0.1 * (slope + l2_gradient(THETA, 0.7))
    np.testing.assert_allclose(decayed(THETA, slope, rate=0.1, alpha=0.7), step)


def test_l1_moves_the_minimum_of_a_bowl_to_the_soft_threshold():
    """Deck 001: sign(w*) max(|w*| - alpha/H, 0), here with curvature H = 1."""
    grid = np.linspace(-4, 4, 80001)
    for w in (2.0, -1.5, 0.2):
        lowest = grid[np.argmin((grid - w) ** 2 / 2 + 0.5 * np.abs(grid))]
        assert soft_threshold(np.array(w), 0.5) == pytest.approx(lowest, abs=2e-4)
