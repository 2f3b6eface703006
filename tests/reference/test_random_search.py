"""Random search, random local search and restarts: what they promise, and what a gradient gains."""

from itertools import repeat

import numpy as np

from striate.reference.optimizers import gradient_descent
from striate.reference.random_search import random_local_search, random_restarts, random_search

CENTRE = np.linspace(-1, 1, 8)


def loss(theta):
    return float(((theta - CENTRE) ** 2).sum())


def slope(theta):
    return 2 * (theta - CENTRE)


def test_losses_never_rise_and_the_order_is_that_of_the_lecture():
    """With as many looks at the loss: random, then local, then the gradient."""
    generator = np.random.default_rng(0)

    def draw():
        return 2 * generator.standard_normal(8)

    start = draw()
    searched = [loss(theta) for theta in random_search(draw, loss, tries=100)]
    local = [
        loss(theta)
        for theta in random_local_search(start, loss, step=0.3, tries=100, generator=generator)
    ]
    descended = [loss(theta) for theta in gradient_descent(start, slope, repeat(0.1, 100))]
    for losses in (searched, local, descended):
        assert len(losses) == 100
        assert losses == sorted(losses, reverse=True)
    assert searched[-1] > 2 * local[-1] > 1000 * descended[-1]


def test_the_first_try_of_random_search_is_kept():
    (theta,) = random_search(lambda: np.array([7.0]), lambda theta: 1e9, tries=1)
    assert theta == 7


def test_restarts_find_the_deeper_of_two_valleys():
    def two_valleys(theta):
        return float((theta**2 - 1) ** 2 + 0.2 * theta)

    def train(theta):
        slope = lambda theta: 4 * theta * (theta**2 - 1) + 0.2  # noqa: E731
        return list(gradient_descent(theta, slope, repeat(0.05, 100)))[-1]

    starts = iter([np.array(1.5), np.array(0.8), np.array(-0.3), np.array(1.1)])
    best = random_restarts(lambda: next(starts), train, two_valleys, restarts=4)
    assert best < -1
    assert two_valleys(train(np.array(1.5))) > two_valleys(best)
