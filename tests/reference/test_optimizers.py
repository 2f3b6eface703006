"""Optimisers against the decks' closed form, against training's, and against each other."""

from itertools import islice, repeat

import numpy as np
import pytest
import torch
from torch import nn

from striate.reference.batches import full, mini_batches, one_by_one
from striate.reference.lbfgs import lbfgs
from striate.reference.muon import muon, orthogonalised
from striate.reference.optimizers import (
    adam,
    gradient_descent,
    momentum,
    nesterov,
    rmsprop,
    two_step_momentum,
)
from striate.training.muon import Filters, Muon, orthogonalise
from striate.training.optimizers import make_optimizers
from striate.training.sections import Optimizer

STEPS = 20
CURVATURES = np.array([1.0, 4.0])


def bowl(theta):
    """The gradient of deck 001's (theta_1^2 + 4 theta_2^2) / 2."""
    return CURVATURES * theta


def last(thetas):
    return list(thetas)[-1]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25, 0.45, 0.6])
def test_the_closed_form_of_every_step(rate):
    """Deck 001: theta_t = ((1 - a)^t theta_1, (1 - 4a)^t theta_2); at a > 1/2 it runs away."""
    start = np.array([3.0, -2.0])
    thetas = list(gradient_descent(start, bowl, repeat(rate, STEPS)))
    assert len(thetas) == STEPS
    for t, theta in enumerate(thetas, start=1):
        expected = ((1 - rate) ** t * 3.0, (1 - 4 * rate) ** t * -2.0)
        np.testing.assert_allclose(theta, expected, rtol=1e-12)
    assert (abs(thetas[-1][1]) > 2) == (rate > 0.5)


def test_momentum_of_the_bowl_is_the_recurrence_of_its_axes():
    """theta_t+1 = (1 + b - a h) theta_t - b theta_t-1 along an axis of curvature h."""
    thetas = [np.ones(2), *momentum(np.ones(2), bowl, repeat(0.1, STEPS), beta=0.9)]
    np.testing.assert_allclose(thetas[1], 1 - 0.1 * CURVATURES)
    for before, now, after in zip(thetas, thetas[1:], thetas[2:], strict=False):
        expected = (1.9 - 0.1 * CURVATURES) * now - 0.9 * before
        np.testing.assert_allclose(after, expected, rtol=1e-11, atol=1e-13)


def test_the_decks_momentum_is_the_running_sum_for_two_steps_only():
    deck, usual = (
        list(rule(np.ones(2), bowl, repeat(0.05, 3), beta=0.9))
        for rule in (two_step_momentum, momentum)
    )
    np.testing.assert_allclose(deck[:2], usual[:2], rtol=1e-14)
    assert not np.allclose(deck[2], usual[2])


@pytest.mark.parametrize("rule", [momentum, two_step_momentum, nesterov])
def test_without_memory_all_are_gradient_descent(rule):
    plain = list(gradient_descent(np.ones(2), bowl, repeat(0.1, 5)))
    np.testing.assert_allclose(list(rule(np.ones(2), bowl, repeat(0.1, 5), beta=0.0)), plain)


class Slopes:
    """Gradients that change from step to step and with theta, the same for both sides."""

    def __init__(self, shape):
        self.noise = np.random.default_rng(0).standard_normal((STEPS, *shape))
        self.step = 0

    def __call__(self, theta):
        self.step += 1
        return np.sin(theta) + self.noise[self.step - 1]


RULES = {
    "sgd": ({}, gradient_descent),
    "momentum": ({"momentum": 0.9}, lambda *a: momentum(*a, beta=0.9)),
    "nesterov": ({"momentum": 0.9}, lambda *a: nesterov(*a, beta=0.9)),
    "rmsprop": (
        {"momentum": 0.0, "beta2": 0.9, "epsilon": 1e-8},
        lambda *a: rmsprop(*a, beta=0.9),
    ),
    "adam": (
        {"momentum": 0.8, "beta2": 0.95, "epsilon": 1e-8},
        lambda *a: adam(*a, betas=(0.8, 0.95)),
    ),
    "adamw": (
        {"momentum": 0.8, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.3},
        lambda *a: adam(*a, betas=(0.8, 0.95), decay=0.3),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_twenty_steps_are_those_of_training(name):
    options, rule = RULES[name]
    module = nn.Linear(3, 4, bias=False).double()
    start = module.weight.detach().numpy().copy()
    recipe = Optimizer.model_validate({"name": name, "lr": 0.05, **options})
    optimizers = make_optimizers(module, recipe, batch_size=1)
    slopes, factors = Slopes(start.shape), np.linspace(1, 0.1, STEPS)
    for factor in factors:
        gradient = slopes(module.weight.detach().numpy())
        module.weight.grad = torch.from_numpy(gradient)
        optimizers.step(factor)
    theta = last(rule(start, Slopes(start.shape), 0.05 * factors))
    assert abs(theta - start).max() > 0.1
    np.testing.assert_allclose(theta, module.weight.detach().numpy(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_twenty_steps_of_muon_are_those_of_training(shape):
    weight = nn.Parameter(torch.from_numpy(np.random.default_rng(1).standard_normal(shape)))
    start = weight.detach().numpy().copy()
    trained = Muon([Filters(weight)], lr=0.1, momentum=0.6, dtype=torch.float64)
    slopes = Slopes(shape)
    for _ in range(STEPS):
        weight.grad = torch.from_numpy(slopes(weight.detach().numpy()))
        trained.step(1.0)
    theta = last(muon(start, Slopes(shape), repeat(0.1, STEPS), beta=0.6))
    np.testing.assert_allclose(theta, weight.detach().numpy(), atol=1e-10, rtol=0)


def test_the_step_of_muon_has_singular_values_near_one():
    matrix = np.random.default_rng(2).standard_normal((6, 9))
    step = orthogonalised(matrix)
    assert orthogonalise(torch.from_numpy(matrix)[None], torch.float64)[0].numpy() == pytest.approx(
        step, abs=1e-12
    )
    values = np.linalg.svd(step)[1]
    assert values.min() > 0.5
    assert values.max() < 1.3
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    assert np.abs(np.diag(u.T @ step @ v.T)) == pytest.approx(values, abs=0.8)
    assert np.abs(u.T @ step @ v.T - np.diag(np.diag(u.T @ step @ v.T))).max() < 1e-12


def test_lbfgs_needs_few_steps_in_a_bowl_and_a_curved_valley():
    def rosenbrock(theta):
        x, y = theta
        return float((1 - x) ** 2 + 100 * (y - x**2) ** 2)

    def slope(theta):
        x, y = theta
        return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])

    def depth(theta):
        return float(CURVATURES @ theta**2 / 2)

    assert np.abs(last(lbfgs(np.ones(2), depth, bowl, steps=8))).max() < 1e-6
    thetas = list(lbfgs(np.array([-1.2, 1.0]), rosenbrock, slope, steps=100))
    losses = [rosenbrock(theta) for theta in thetas]
    assert losses == sorted(losses, reverse=True)
    assert len(thetas) < 100  # it ends by itself, at the minimum
    np.testing.assert_allclose(thetas[-1], 1, atol=1e-6)


def test_the_first_step_of_lbfgs_goes_down_the_gradient_and_the_next_ones_use_curvature():
    theta, loss = np.array([1.0, 1.0]), lambda theta: float(CURVATURES @ theta**2 / 2)
    first, second = islice(lbfgs(theta, loss, bowl, steps=2), 2)
    # 1 - h at the whole step raises the loss; half of it is taken
    np.testing.assert_allclose(first, 1 - 0.5 * CURVATURES)
    assert loss(second) < loss(first - 0.5 * bowl(first))


def test_lbfgs_ends_where_the_gradient_does_not_lead_down():
    wrong = lbfgs(
        np.ones(2), lambda theta: float(CURVATURES @ theta**2), lambda t: -bowl(t), steps=5
    )
    assert list(wrong) == []
    at_the_minimum = lbfgs(np.zeros(2), lambda theta: float(theta @ theta), bowl, steps=5)
    assert list(at_the_minimum) == []


def images_gradient(theta, place):
    """The gradient of (theta - place)^2 / 2: the empirical risk has its minimum at the mean."""
    return theta - place


def test_sgd_sees_every_image_once_in_an_epoch():
    estimate = one_by_one(images_gradient, 10, np.random.default_rng(0))
    epochs = [[-float(estimate(np.zeros(()))) for _ in range(10)] for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_mini_batches_are_an_unbiased_estimate():
    exact = full(images_gradient, 10)(np.zeros(1))
    assert exact == pytest.approx(-4.5)
    estimate = mini_batches(images_gradient, 10, 4, np.random.default_rng(0))
    draws = np.array([estimate(np.zeros(1)) for _ in range(2000)])
    deviation = draws.std() / 2000**0.5
    assert abs(draws.mean() + 4.5) < 4 * deviation
    singles = mini_batches(images_gradient, 10, 1, np.random.default_rng(0))
    assert draws.std() < 0.5 * np.std([singles(np.zeros(1)) for _ in range(500)])
    whole = mini_batches(images_gradient, 10, 10, np.random.default_rng(0))
    assert whole(np.zeros(1)) == pytest.approx(exact)


def test_sgd_with_falling_rates_ends_at_the_mean_of_the_images():
    estimate = one_by_one(images_gradient, 10, np.random.default_rng(0))
    rates = (1 / t for t in range(1, 31))
    theta = last(gradient_descent(np.array([100.0]), estimate, rates))
    assert theta == pytest.approx(4.5)  # a rate of 1/t keeps the mean of all that was seen
