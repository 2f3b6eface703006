"""Losses, each followed by its gradient: how wrong the net is, as one number for a batch.

Each is the mean over the N images of the batch. `logits` are the net's outputs f, float64 (N, K).
`shares` are what they should say, t, of the same shape: 1 for the image's class and 0 for the
others, or smoothed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from striate.reference.activations import logistic, softmax
from striate.reference.arrays import Array


def one_hot(labels: NDArray[np.int64], classes: int) -> Array:
    """1 for the label and 0 for the other classes: (N,) -> (N, K)."""
    shares: Array = np.eye(classes)[labels]
    return shares


def smoothed(shares: Array, smoothing: float) -> Array:
    """Label smoothing: takes this share from the label and spreads it over all K classes."""
    softer: Array = shares * (1 - smoothing) + smoothing / shares.shape[1]
    return softer


def square(logits: Array, shares: Array) -> float:
    """sum_k (f_k - t_k)^2 (deck 001)."""
    return float(((logits - shares) ** 2).sum(axis=1).mean())


def square_gradient(logits: Array, shares: Array) -> Array:
    """2 (f - t), over N."""
    return 2 * (logits - shares) / len(logits)


def cross_entropy(probabilities: Array, shares: Array) -> float:
    """sum_k t_k log(1/p_k), the surprise, of probabilities that softmax gave (deck 001)."""
    return float((shares * np.log(1 / probabilities)).sum(axis=1).mean())


def cross_entropy_gradient(probabilities: Array, shares: Array) -> Array:
    """-t / p, over N."""
    return -shares / probabilities / len(probabilities)


def multiclass_logistic(logits: Array, shares: Array) -> float:
    """log(sum_j e^f_j) - sum_k t_k f_k: softmax and cross-entropy in one (deck 003).

    The largest logit is taken out of the sum of powers, so that none of them overflows. With two
    classes it is the logistic loss log(1 + e^-(f_1 - f_2)) of label 1.
    """
    largest = logits.max(axis=1)
    log_sum_exp = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return float((log_sum_exp - (shares * logits).sum(axis=1)).mean())


def multiclass_logistic_gradient(logits: Array, shares: Array) -> Array:
    """softmax(f) - t, over N."""
    return (softmax(logits) - shares) / len(logits)


def one_against_rest(logits: Array, shares: Array) -> float:
    """The logistic loss of deck 003, log(1 + e^-y'y), for each class against the others, summed.

    y is the logit, y' is 1 for the image's class and -1 for the others; log(1 + e^z) is
    max(z, 0) + log(1 + e^-|z|), where nothing overflows.
    """
    each = shares * _softplus(-logits) + (1 - shares) * _softplus(logits)
    return float(each.sum(axis=1).mean())


def one_against_rest_gradient(logits: Array, shares: Array) -> Array:
    """logistic(f) - t, over N."""
    return (logistic(logits) - shares) / len(logits)


def hinge(logits: Array, shares: Array) -> float:
    """sum_k t_k max(0, 1 + max_{j != k} f_j - f_k) (Crammer and Singer, 2001)."""
    margins = 1 + _best_other(logits)[0] - logits
    return float((shares * np.maximum(margins, 0)).sum(axis=1).mean())


def hinge_gradient(logits: Array, shares: Array) -> Array:
    """Where the margin of class k is not kept: -t_k to its logit, and t_k to that of its rival."""
    value, rival = _best_other(logits)
    pushed = shares * (1 + value - logits > 0)  # (N, K)
    gradient = -pushed
    for k in range(logits.shape[1]):
        gradient[np.arange(len(logits)), rival[:, k]] += pushed[:, k]
    return gradient / len(logits)


def reconstruction(outputs: Array, images: Array) -> float:
    """|x - g(f(x))|^2, the reconstruction error of an autoencoder (deck 001), of any shape."""
    return float(((outputs - images) ** 2).sum() / len(images))


def reconstruction_gradient(outputs: Array, images: Array) -> Array:
    """2 (g(f(x)) - x), over N."""
    return 2 * (outputs - images) / len(images)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _best_other(logits: Array) -> tuple[Array, NDArray[np.int64]]:
    """For every class the largest logit of the others, and which class it is of: (N, K)."""
    others = np.repeat(logits[:, None, :], logits.shape[1], axis=1)  # (N, K, K): [n, k, j] = f_j
    others[:, np.eye(logits.shape[1], dtype=bool)] = -np.inf
    return others.max(axis=2), others.argmax(axis=2)


Loss = tuple[Callable[[Array, Array], float], Callable[[Array, Array], Array]]

LOSSES: dict[str, Loss] = {
    "cross_entropy": (multiclass_logistic, multiclass_logistic_gradient),
    "square": (square, square_gradient),
    "logistic": (one_against_rest, one_against_rest_gradient),
    "hinge": (hinge, hinge_gradient),
}
"""By their names in a recipe: the loss of logits, and its gradient."""
