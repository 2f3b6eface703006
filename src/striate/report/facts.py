"""The figures that the report's sentences rest on, each computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.evaluation import Evaluation, wilson_interval
from striate.report.files import Point, RunFiles, RunRecord, Split
from striate.report.reliability import calibration_noise

HARDLY_BETTER = 0.05


@dataclass(frozen=True)
class Confusion:
    """`count` images of the class `true` were taken for `predicted`; both are positions."""

    true: int
    predicted: int
    count: int
    support: int


@dataclass(frozen=True)
class NetSize:
    """How large the net is: layers that hold weights, parameters, multiply-adds of one image."""

    layers: int
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Facts:
    """What is known of a run, in figures.

    `mean_probability` is the mean calibrated probability of the predicted class;
    `calibration_noise` is the calibration error that chance alone gives on so many images;
    `sure_mistakes` counts wrong predictions of at least 99 %.
    """

    run: RunRecord
    net: NetSize
    points: tuple[Point, ...]
    split: Split | None
    scores: Evaluation | None
    confusions: tuple[Confusion, ...]
    mean_probability: float | None
    calibration_noise: float
    sure_mistakes: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.run.data.classes

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return 1 / len(self.classes)

    @property
    def majority(self) -> tuple[str, float] | None:
        """The commonest class of the evaluated split, and the accuracy of always answering it."""
        return None if self.scores is None else majority_answer(self.scores)

    @property
    def at_chance(self) -> bool:
        """Whether the net learned nothing to speak of."""
        return self.scores is not None and is_at_chance(self.scores)

    @property
    def last(self) -> Point | None:
        """The last evaluation during training."""
        return self.points[-1] if self.points else None

    @property
    def gap(self) -> float | None:
        """Training accuracy less validation accuracy at the end, or None where one is missing."""
        if self.last is None:
            return None
        train, validation = self.last.train_accuracy, self.last.validation_accuracy
        return None if train is None or validation is None else train - validation

    @property
    def gap_is_real(self) -> bool:
        """Whether the training accuracy lies above the 95 % interval of the validation accuracy."""
        last, images = self.last, self.run.data.counts.validation
        if last is None or not images or self.gap is None or last.validation_accuracy is None:
            return False
        right = round(last.validation_accuracy * images)
        return bool((last.train_accuracy or 0.0) > wilson_interval(right, images)[1])

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of problems that the data has."""
        return frozenset(problem.kind for problem in self.run.data.problems)


def gather_facts(files: RunFiles, net: NetSize) -> Facts:
    """Compute the figures."""
    predictions = files.predictions
    certain = predictions.probability >= 0.99
    return Facts(
        run=files.run,
        net=net,
        points=files.points,
        split=files.split,
        scores=files.scores,
        confusions=most_confused(files.scores),
        mean_probability=float(predictions.probability.mean()) if len(predictions) else None,
        calibration_noise=calibration_noise(predictions),
        sure_mistakes=int(np.count_nonzero(certain & predictions.wrong)),
    )


def majority_answer(scores: Evaluation) -> tuple[str, float]:
    """The commonest class, and the accuracy of always answering it."""
    largest = max(scores.classes, key=lambda figures: figures.support)
    return largest.name, largest.support / scores.images


def is_at_chance(scores: Evaluation) -> bool:
    """Whether a net does no better, or hardly better, than always answering the commonest class.

    No better: the 95 % interval of its accuracy reaches down to that answer's. Hardly better: it
    avoids less than HARDLY_BETTER of that answer's mistakes.
    """
    _, share = majority_answer(scores)
    avoided = scores.accuracy - share
    return scores.interval[0] <= share or avoided < HARDLY_BETTER * (1 - share)


def most_confused(scores: Evaluation | None) -> tuple[Confusion, ...]:
    """Every pair that occurs, the most frequent first."""
    if scores is None:
        return ()
    matrix = np.asarray(scores.confusion, dtype=np.int64)
    support = matrix.sum(axis=1)
    off_diagonal = matrix - np.diag(np.diag(matrix))
    rows, columns = np.nonzero(off_diagonal)
    counts = off_diagonal[rows, columns]
    order = np.lexsort((columns, rows, -counts / np.maximum(support[rows], 1), -counts))
    return tuple(
        Confusion(
            true=int(rows[at]),
            predicted=int(columns[at]),
            count=int(counts[at]),
            support=int(support[rows[at]]),
        )
        for at in order
    )
