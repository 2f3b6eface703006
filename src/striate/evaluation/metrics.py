"""What a set of logits is worth: accuracy, loss, per-class figures, confusion, calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from striate.errors import DataError, ModelError
from striate.evaluation.calibration import (
    Floats,
    Integers,
    expected_calibration_error,
    log_softmax,
)
from striate.evaluation.intervals import wilson_interval


class ClassFigures(BaseModel):
    """The figures of one class; a share of nothing is 0, as in scikit-learn.

    Attributes:
        name: The class.
        precision: Of the images predicted as this class, the share that are.
        recall: Of the images of this class, the share predicted as such.
        f1: The harmonic mean of both.
        support: The count of images of this class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Evaluation(BaseModel):
    """What a model does on a set of images: the `evaluate` document.

    Attributes:
        images: N, their count.
        accuracy: The share predicted right.
        interval: Its 95 % Wilson interval.
        loss: The mean cross-entropy of the calibrated probabilities, in nats.
        ece: Their expected calibration error over 15 equal-width bins.
        views: The views of each image whose logits were averaged: 1, 2, 6 or 10.
        unsure: The share of images that was seen in all views; the rest was seen in one.
        classes: The figures by class.
        confusion: (K, K) counts; rows are true classes, columns predicted ones.
        temperature: What the logits were divided by.
        loss_uncalibrated: The loss at a temperature of 1.
        ece_uncalibrated: The calibration error at a temperature of 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    ece: float
    views: int
    unsure: float = 1.0
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    temperature: float
    loss_uncalibrated: float
    ece_uncalibrated: float

    def to_json(self) -> dict[str, Any]:
        """The document of `evaluate --json`, of plain lists, numbers and texts."""
        return self.model_dump(mode="json")


def evaluate_logits(
    logits: Floats,
    labels: Integers,
    classes: Sequence[str],
    *,
    views: int = 1,
    unsure: float = 1.0,
    temperature: float = 1.0,
) -> Evaluation:
    """Compute all figures of a set of images.

    Args:
        logits: (N, K), averaged over the views.
        labels: (N,) class indices below K.
        classes: The K names.
        views: How many views were averaged, to be stated.
        unsure: Of which share of the images, to be stated.
        temperature: The model's calibration; it changes the loss and the calibration error only.

    Raises:
        DataError: there is no image, or a label is not one of the classes.
        ModelError: a logit is not finite, or their count differs from that of the classes.
    """
    _check(logits, labels, classes)
    confusion = confusion_matrix(labels, logits.argmax(axis=1), len(classes))
    correct = int(np.trace(confusion))
    plain = log_softmax(logits)
    calibrated = log_softmax(logits, temperature=temperature)
    return Evaluation(
        images=len(labels),
        accuracy=correct / len(labels),
        interval=wilson_interval(correct, len(labels)),
        loss=_cross_entropy(calibrated, labels),
        ece=expected_calibration_error(np.exp(calibrated), labels),
        views=views,
        unsure=unsure,
        classes=class_figures(confusion, classes),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        temperature=temperature,
        loss_uncalibrated=_cross_entropy(plain, labels),
        ece_uncalibrated=expected_calibration_error(np.exp(plain), labels),
    )


def confusion_matrix(labels: Integers, predicted: Integers, count: int) -> NDArray[np.int64]:
    """Counts (K, K) of true class (rows) by predicted class (columns).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.asarray(labels, dtype=np.int64) * count + predicted
    return np.bincount(cells, minlength=count * count).reshape(count, count)


def class_figures(confusion: NDArray[np.int64], classes: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Precision, recall, F1 and support of each class of a confusion matrix (K, K)."""
    right = np.diagonal(confusion)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    columns = (_share(right, predicted), _share(right, support))
    f1 = _share(2 * right, predicted + support)
    return tuple(
        ClassFigures(name=name, precision=precision, recall=recall, f1=score, support=count)
        for name, precision, recall, score, count in zip(
            classes, *(c.tolist() for c in (*columns, f1, support)), strict=True
        )
    )


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def _cross_entropy(log_probabilities: NDArray[np.float64], labels: Integers) -> float:
    return -float(log_probabilities[np.arange(len(labels)), labels].mean())


def _check(logits: Floats, labels: Integers, classes: Sequence[str]) -> None:
    if len(labels) == 0:
        raise DataError("there are no images to evaluate")
    if logits.shape != (len(labels), len(classes)):
        raise ModelError(
            f"logits of shape {logits.shape} for {len(labels)} images and {len(classes)} classes"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(f"labels from {labels.min()} to {labels.max()}, of {len(classes)} classes")
    if not np.isfinite(logits).all():
        raise ModelError("the net's outputs hold NaN or infinity")
