"""Probabilities that mean what they say: temperature scaling and how far off it leaves them.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
MIN_TEMPERATURE = 1e-3
MAX_TEMPERATURE = 1e3

_TOLERANCE = 1e-7
_MAX_STEPS = 100

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def softmax(logits: Floats, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (N, K) in float64 of logits (N, K) divided by a temperature.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    return np.asarray(np.exp(log_softmax(logits, temperature=temperature)))


def log_softmax(logits: Floats, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Logarithms (N, K) of the softmax, in float64 and without overflow."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def reliability_bins(
    probabilities: Floats, labels: Integers, bins: int = BINS
) -> list[tuple[float, float, int]]:
    """What a reliability diagram draws: confidence against accuracy.

    Bin b of B holds the images whose largest probability lies in (b/B, (b+1)/B]: equal widths.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,) class indices.
        bins: B.

    Returns:
        For each bin the mean confidence, the accuracy and the count of images; an empty bin has
        its middle as confidence, and the accuracy 0.
    """
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    correct = np.asarray(probabilities).argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    middles = (np.arange(bins) + 0.5) / bins
    total = np.maximum(counts, 1)
    confidences = np.bincount(index, weights=confidence, minlength=bins) / total
    accuracies = np.bincount(index, weights=correct, minlength=bins) / total
    confidences = np.where(counts > 0, confidences, middles)
    return list(zip(confidences.tolist(), accuracies.tolist(), counts.tolist(), strict=True))


def expected_calibration_error(
    probabilities: Floats, labels: Integers, *, bins: int = BINS
) -> float:
    """The mean distance between confidence and accuracy over equal-width bins, between 0 and 1.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,) class indices.
        bins: The count of equal-width bins, 15 as in the paper.
    """
    gaps = [
        count * abs(confidence - accuracy)
        for confidence, accuracy, count in reliability_bins(probabilities, labels, bins)
    ]
    return sum(gaps) / len(labels)


def fit_temperature(logits: Floats, labels: Integers) -> float:
    """The temperature under which the labels are most likely, found on held-out images.

    The loss is convex in 1/T, so Newton's method kept inside a shrinking bracket always arrives.
    One imagined image is added whose label is spread evenly over the classes (the rule of
    succession): without it, a held-out set with no mistake would ask for T = 0 and for
    probabilities of exactly 1. Its weight vanishes as 1/N.

    Args:
        logits: (N, K) of images that were not trained on.
        labels: (N,) class indices.

    Returns:
        T within [0.001, 1000]; 1 for no images, or where T changes nothing.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if not scores.size or np.ptp(scores, axis=1).max() == 0:
        return 1.0
    scores = scores - scores.max(axis=1, keepdims=True)
    share = 1 / (len(scores) + 1)
    given = scores[np.arange(len(scores)), labels].mean()
    target = (1 - share) * given + share * scores.mean()
    return 1 / _minimum(scores, target)


def _minimum(scores: NDArray[np.float64], target: float) -> float:
    """The inverse temperature where the slope of the loss is 0."""
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    inverse = 1.0
    for _ in range(_MAX_STEPS):
        slope, curvature = _slope(scores, target, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else high
        if not low < step < high:
            step = math.sqrt(low * high)
        if abs(step - inverse) <= _TOLERANCE * inverse:
            return step
        inverse = step
    return inverse


def _slope(scores: NDArray[np.float64], target: float, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean loss by the inverse temperature."""
    probabilities = softmax(scores, temperature=1 / inverse)
    mean = (probabilities * scores).sum(axis=1)
    variance = (probabilities * scores**2).sum(axis=1) - mean**2
    return float(mean.mean() - target), float(variance.mean())
