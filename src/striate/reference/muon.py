"""Muon: momentum whose matrix is made orthogonal before each step (Jordan et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.reference.arrays import Array
from striate.reference.optimizers import Gradient, Rates

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def muon(theta: Array, gradient: Gradient, rates: Rates, *, beta: float) -> Iterator[Array]:
    """`G <- b G + g; theta <- sqrt(K) theta / |theta| - a orthogonalised(g + b G)`.

    The weights keep the norm of a matrix with K rows of length 1, so that a rate is a share of it.

    Args:
        theta: A layer's weights as a matrix, one of its K outputs a row: float64 (K, inputs).
        gradient: Of the loss.
        rates: One a step.
        beta: b.
    """
    total = np.zeros_like(theta)
    for rate in rates:
        now = gradient(theta)
        total = beta * total + now
        theta = theta * np.sqrt(len(theta)) / np.linalg.norm(theta)
        theta = theta - rate * orthogonalised(now + beta * total)
        yield theta


def orthogonalised(matrix: Array, steps: int = 3) -> Array:
    """Bring every singular value near 1 and keep the singular vectors.

    X <- a X + b (X X^T) X + c (X X^T)^2 X does to each singular value s what the polynomial
    a s + b s^3 + c s^5 does to a number; repeated, it drives 0 < s < 1 towards 1.
    """
    a, b, c = COEFFICIENTS
    x = matrix / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
