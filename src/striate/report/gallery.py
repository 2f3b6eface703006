"""Which images to show: worst mistakes, the least and the most sure, those behind a cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.report.files import Predictions
from striate.report.thumbnails import Thumbnail, Thumbnails
from striate.report.wording import number, percent, shortened

SHOWN = 12  # images in each of the three galleries
SMALLEST = 1e-12  # keeps the logarithm of a probability of 0 a number


@dataclass(frozen=True)
class Exhibit:
    """An image on the page: what it is, what the net said, and where that is written."""

    name: str
    thumbnail: Thumbnail | None
    true: str
    predicted: str
    right: bool
    probability: str
    label_probability: str
    loss: str
    line: int


@dataclass(frozen=True)
class Gallery:
    """Exhibits under one heading; `total` is how many there would be."""

    exhibits: tuple[Exhibit, ...]
    total: int


class Curator:
    """Turns rows of the predictions into exhibits.

    Args:
        predictions: Of the split that the report speaks of.
        classes: The class names.
        thumbnails: Makes the pictures, first come first served.
    """

    def __init__(
        self, predictions: Predictions, classes: tuple[str, ...], thumbnails: Thumbnails
    ) -> None:
        self.predictions = predictions
        self._classes = tuple(shortened(name, 48) for name in classes)
        self._thumbnails = thumbnails
        self._loss = -np.log(np.maximum(predictions.label_probability, SMALLEST))

    def worst(self) -> Gallery:
        """The mistakes with the highest loss."""
        wrong = np.flatnonzero(self.predictions.wrong)
        order = wrong[np.argsort(-self._loss[wrong], kind="stable")]
        return self._gallery(order)

    def least_sure(self) -> Gallery:
        """The images whose predicted class has the lowest probability."""
        return self._gallery(np.argsort(self.predictions.probability, kind="stable"))

    def most_sure(self) -> Gallery:
        """The images whose predicted class has the highest probability."""
        return self._gallery(np.argsort(-self.predictions.probability, kind="stable"))

    def exhibit(self, row: int) -> Exhibit:
        """One row of the predictions."""
        predictions = self.predictions
        true, predicted = predictions.labels[row], predictions.predicted[row]
        return Exhibit(
            name=shortened(predictions.names[row]),
            thumbnail=self._thumbnails.of(int(predictions.indices[row])),
            true=self._classes[true],
            predicted=self._classes[predicted],
            right=bool(true == predicted),
            probability=percent(float(predictions.probability[row])),
            label_probability=percent(float(predictions.label_probability[row])),
            loss=number(float(self._loss[row]), 2),
            line=int(predictions.lines[row]),
        )

    def _gallery(self, order: NDArray[np.int64]) -> Gallery:
        return Gallery(self._exhibits(order[:SHOWN].tolist()), len(order))

    def _exhibits(self, rows: Iterable[int]) -> tuple[Exhibit, ...]:
        return tuple(self.exhibit(row) for row in rows)
