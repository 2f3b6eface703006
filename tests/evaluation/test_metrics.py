"""The figures against scikit-learn, which computes them independently."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from striate.errors import DataError, ModelError
from striate.evaluation.calibration import expected_calibration_error, softmax
from striate.evaluation.intervals import wilson_interval
from striate.evaluation.metrics import evaluate_logits

CLASSES = ("cat", "dog", "<b>émeu</b>", "never seen")


def sample(seed, count=200):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    logits = generator.normal(size=(count, 4)).astype(np.float32)
    logits[np.arange(count), labels] += 1
    logits[:, 3] -= 100
    return logits, labels


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_agrees_with_scikit_learn(seed, count):
    logits, labels = sample(seed, count)
    predicted = logits.argmax(axis=1)
    found = evaluate_logits(logits, labels, CLASSES, temperature=1.7)
    names = range(4)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    confusion = metrics.confusion_matrix(labels, predicted, labels=names)
    assert np.array_equal(found.confusion, confusion)
    assert confusion.trace() / count == found.accuracy
    figures = metrics.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=0
    )
    ours = [(c.precision, c.recall, c.f1, c.support) for c in found.classes]
    np.testing.assert_allclose(ours, np.stack(figures, axis=1))
    probabilities = softmax(logits, temperature=1.7)
    assert found.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=names))
    assert found.loss_uncalibrated == pytest.approx(
        metrics.log_loss(labels, softmax(logits), labels=names)
    )


def test_states_interval_views_and_calibration():
    logits, labels = sample(0)
    found = evaluate_logits(logits, labels, CLASSES, views=2, unsure=0.25, temperature=0.5)
    assert (found.views, found.unsure) == (2, 0.25)
    assert found.interval == wilson_interval(round(found.accuracy * 200), 200)
    calibrated = softmax(logits, temperature=0.5)
    assert found.ece == pytest.approx(expected_calibration_error(calibrated, labels))
    assert found.ece_uncalibrated == pytest.approx(
        expected_calibration_error(softmax(logits), labels)
    )


def test_the_document_has_the_designed_keys():
    document = json.loads(json.dumps(evaluate_logits(*sample(0), CLASSES).to_json()))
    designed = {
        "images", "accuracy", "interval", "loss", "ece", "views", "classes", "confusion",
    }  # fmt: skip
    extra = {"unsure", "temperature", "loss_uncalibrated", "ece_uncalibrated"}
    assert set(document) == designed | extra
    assert set(document["classes"][0]) == {"name", "precision", "recall", "f1", "support"}
    assert [entry["name"] for entry in document["classes"]] == list(CLASSES)


def test_refuses_no_images():
    with pytest.raises(DataError, match="no images"):
        evaluate_logits(np.empty((0, 4)), np.empty(0, dtype=np.int64), CLASSES)


def test_refuses_logits_of_another_shape():
    with pytest.raises(ModelError, match=r"\(3, 2\) for 3 images and 4 classes"):
        evaluate_logits(np.zeros((3, 2)), np.zeros(3, dtype=np.int64), CLASSES)


@pytest.mark.parametrize("label", [-1, 4])
def test_refuses_labels_beyond_the_classes(label):
    with pytest.raises(DataError, match="of 4 classes"):
        evaluate_logits(np.zeros((1, 4)), np.array([label]), CLASSES)


def test_refuses_outputs_that_are_no_numbers():
    with pytest.raises(ModelError, match="NaN"):
        evaluate_logits(np.full((1, 4), np.nan), np.array([0]), CLASSES)
