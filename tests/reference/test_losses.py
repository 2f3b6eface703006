"""Losses against training's, against PyTorch, and against numerical differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from striate.reference.activations import softmax, softmax_backward
from striate.reference.losses import (
    LOSSES,
    cross_entropy,
    cross_entropy_gradient,
    hinge,
    multiclass_logistic,
    multiclass_logistic_gradient,
    one_against_rest,
    one_hot,
    reconstruction,
    reconstruction_gradient,
    smoothed,
    square,
)
from striate.training.losses import make_loss
from striate.training.sections import Loss

CLASSES = 4


def batch(scale: float = 3.0):
    generator = np.random.default_rng(0)
    return scale * generator.standard_normal((20, CLASSES)), generator.integers(0, CLASSES, 20)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_and_its_gradient_are_those_of_training(name, smoothing):
    logits, labels = batch()
    shares = smoothed(one_hot(labels, CLASSES), smoothing)
    loss, gradient = LOSSES[name]
    recipe = Loss.model_validate({"name": name, "label_smoothing": smoothing})
    trained = make_loss(recipe, class_counts=np.full(CLASSES, 5))
    tensor = torch.from_numpy(logits).requires_grad_()
    value = trained(tensor, torch.from_numpy(labels))
    value.backward()
    assert loss(logits, shares) == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(gradient(logits, shares), tensor.grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_agrees_with_numerical_differences(name):
    logits, labels = batch()
    shares = smoothed(one_hot(labels, CLASSES), 0.1)
    loss, gradient = LOSSES[name]
    slopes = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        move = np.zeros_like(logits)
        move[place] = 1e-5
        slopes[place] = (loss(logits + move, shares) - loss(logits - move, shares)) / 2e-5
    np.testing.assert_allclose(gradient(logits, shares), slopes, atol=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_softmax_is_the_multiclass_logistic_loss(smoothing):
    logits, labels = batch()
    shares = smoothed(one_hot(labels, CLASSES), smoothing)
    p = softmax(logits)
    both = cross_entropy(p, shares), multiclass_logistic(logits, shares)
    expected = F.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), label_smoothing=smoothing
    )
    assert both == pytest.approx([expected.item()] * 2, rel=1e-12)
    by_chain_rule = softmax_backward(cross_entropy_gradient(p, shares), logits)
    np.testing.assert_allclose(
        multiclass_logistic_gradient(logits, shares), by_chain_rule, rtol=1e-10, atol=1e-15
    )


def test_the_decks_surprise():
    """Deck 001: the label has probability 0.90."""
    p = np.array([[0.06, 0.04, 0.90]])
    assert cross_entropy(p, one_hot(np.array([2]), 3)) == pytest.approx(np.log(1 / 0.9))


def test_two_classes_are_the_logistic_loss():
    logits = np.array([[1.5, -0.5]])
    expected = np.log1p(np.exp(-2.0))
    assert multiclass_logistic(logits, one_hot(np.array([0]), 2)) == pytest.approx(expected)


def test_nothing_overflows():
    logits = np.array([[1e4, -1e4, 0.0]])
    right, wrong = one_hot(np.array([0]), 3), one_hot(np.array([1]), 3)
    assert multiclass_logistic(logits, right) == 0
    assert multiclass_logistic(logits, wrong) == 2e4
    assert one_against_rest(logits, wrong) == pytest.approx(2e4 + np.log(2))
    for _, gradient in LOSSES.values():
        assert np.isfinite(gradient(logits, wrong)).all()


def test_losses_by_hand():
    logits, shares = np.array([[1.0, 3.0, 2.5]]), one_hot(np.array([2]), 3)
    assert square(logits, shares) == pytest.approx(1 + 9 + 2.25)
    assert hinge(logits, shares) == pytest.approx(1.5)
    assert hinge(logits, one_hot(np.array([1]), 3)) == pytest.approx(0.5)


def test_label_smoothing():
    assert smoothed(one_hot(np.array([1]), 4), 0.2).tolist() == [
        pytest.approx([0.05, 0.85, 0.05, 0.05])
    ]


def test_reconstruction_error():
    generator = np.random.default_rng(0)
    images, outputs = generator.standard_normal((2, 3, 1, 4, 4))
    tensor = torch.from_numpy(outputs).requires_grad_()
    expected = F.mse_loss(tensor, torch.from_numpy(images), reduction="sum") / 3
    expected.backward()
    assert reconstruction(outputs, images) == pytest.approx(expected.item())
    np.testing.assert_allclose(reconstruction_gradient(outputs, images), tensor.grad)
