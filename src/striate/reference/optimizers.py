"""The optimisers as in the decks: each is a loop, and gives the parameters after every step.

`theta` is float64 of any shape. `gradient` gives dL/dtheta for a theta, of the same shape, exactly
or as an estimate from a few images (see `batches`). `rates` are the step sizes, one a step (see
`schedules`); when they end, so does the training.

The example of deck 001, L = (theta_1^2 + 4 theta_2^2) / 2, at the rate 0.1:

>>> import numpy as np
>>> def slope(theta):
...     return theta * np.array([1, 4])
>>> [theta.round(3).tolist() for theta in gradient_descent(np.ones(2), slope, [0.1, 0.1])]
[[0.9, 0.6], [0.81, 0.36]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from striate.reference.arrays import Array

Gradient = Callable[[Array], Array]
Rates = Iterable[float]


def gradient_descent(theta: Array, gradient: Gradient, rates: Rates) -> Iterator[Array]:
    """`theta <- theta - a g`; with an estimated gradient, stochastic gradient descent."""
    for rate in rates:
        theta = theta - rate * gradient(theta)
        yield theta


def momentum(theta: Array, gradient: Gradient, rates: Rates, *, beta: float) -> Iterator[Array]:
    """`G <- b G + g; theta <- theta - a G`: the gradients of the past fade away, step by step.

    Deck 000 writes b G(t-1) + G(t) for the step with G(t) the gradient alone, which would remember
    one step only; the running sum is meant. The first two steps are the same.
    """
    total = np.zeros_like(theta)
    for rate in rates:
        total = beta * total + gradient(theta)
        theta = theta - rate * total
        yield theta


def two_step_momentum(
    theta: Array, gradient: Gradient, rates: Rates, *, beta: float
) -> Iterator[Array]:
    """`theta <- theta - a (b G(t-1) + G(t))`: deck 000's line to the letter, see `momentum`."""
    before = np.zeros_like(theta)
    for rate in rates:
        now = gradient(theta)
        theta = theta - rate * (beta * before + now)
        before = now
        yield theta


def nesterov(theta: Array, gradient: Gradient, rates: Rates, *, beta: float) -> Iterator[Array]:
    """`G <- b G + g; theta <- theta - a (g + b G)`: momentum that looks one step ahead.

    In the form of Sutskever et al. (2013), with the gradient taken where the step begins.
    """
    total = np.zeros_like(theta)
    for rate in rates:
        now = gradient(theta)
        total = beta * total + now
        theta = theta - rate * (now + beta * total)
        yield theta


def rmsprop(
    theta: Array, gradient: Gradient, rates: Rates, *, beta: float, epsilon: float = 1e-8
) -> Iterator[Array]:
    """`S <- b S + (1 - b) g^2; theta <- theta - a g / sqrt(S)`.

    Deck 000's, with the usual epsilon beside the root so that nothing is divided by 0.
    """
    squares = np.zeros_like(theta)
    for rate in rates:
        now = gradient(theta)
        squares = beta * squares + (1 - beta) * now**2
        theta = theta - rate * now / (np.sqrt(squares) + epsilon)
        yield theta


def adam(
    theta: Array,
    gradient: Gradient,
    rates: Rates,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.0,
) -> Iterator[Array]:
    """`M <- b1 M + (1 - b1) g; S <- b2 S + (1 - b2) g^2; theta <- theta - a M' / sqrt(S')`.

    M' = M / (1 - b1^t) and S' = S / (1 - b2^t) make up for the zeros that M and S start from, where
    t counts the steps from 1 (deck 000 starts at 0, and would divide by 0).

    Args:
        theta: Where to start.
        gradient: Of the loss.
        rates: One a step.
        betas: b1 and b2.
        epsilon: Beside the root.
        decay: Each step also takes this share, times the rate, of the parameters themselves: AdamW
            (Loshchilov and Hutter, 2019).
    """
    mean, squares = np.zeros_like(theta), np.zeros_like(theta)
    for t, rate in enumerate(rates, start=1):
        now = gradient(theta)
        mean = betas[0] * mean + (1 - betas[0]) * now
        squares = betas[1] * squares + (1 - betas[1]) * now**2
        scale = np.sqrt(squares / (1 - betas[1] ** t)) + epsilon
        theta = (1 - rate * decay) * theta - rate * mean / (1 - betas[0] ** t) / scale
        yield theta
