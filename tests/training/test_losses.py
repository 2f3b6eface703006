import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.training.losses import make_loss
from striate.training.sections import Loss

NAMES = ("cross_entropy", "square", "hinge", "logistic")
COUNTS = np.array([10, 30, 20, 40])


def loss(name: str, *, smoothing: float = 0.0, weights: str = "none"):
    section = {"name": name, "label_smoothing": smoothing, "class_weights": weights}
    return make_loss(Loss.model_validate(section), class_counts=COUNTS)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 4, generator=generator)
    return logits.requires_grad_(), torch.randint(4, (50,), generator=generator)


def by_hand(name: str, logits: np.ndarray, label: int) -> float:
    """One image's loss, from the definition."""
    shares = np.eye(4)[label]
    if name == "cross_entropy":
        return float(np.log(np.exp(logits).sum()) - logits[label])
    if name == "square":
        return float(((logits - shares) ** 2).sum())
    if name == "hinge":
        best_other = max(value for place, value in enumerate(logits) if place != label)
        return max(0.0, 1 + best_other - logits[label])
    signs = 2 * shares - 1
    return float(np.log1p(np.exp(-signs * logits)).sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_mean_of_the_definition(name):
    logits, labels = batch()
    values = [by_hand(name, *pair) for pair in zip(logits.detach().numpy(), labels, strict=True)]
    assert loss(name)(logits, labels).item() == pytest.approx(np.mean(values), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_pytorchs(smoothing):
    logits, labels = batch()
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss("cross_entropy", smoothing=smoothing)(logits, labels), expected)


def test_hinge_is_pytorchs_where_one_other_class_counts():
    logits = torch.tensor([[2.0, -9.0, 1.5, -9.0], [0.0, 5.0, -9.0, -9.0]])
    labels = torch.tensor([2, 1])
    expected = F.multi_margin_loss(logits, labels, reduction="none") * 4
    assert expected.tolist() == [1.5, 0.0]
    assert loss("hinge")(logits, labels).item() == pytest.approx(0.75)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_labels_are_class_shares_of_one(name, weights):
    logits, labels = batch()
    chosen = loss(name, smoothing=0.1, weights=weights)
    shares = F.one_hot(labels, 4).float()
    torch.testing.assert_close(chosen(logits, shares), chosen(logits, labels))


@pytest.mark.parametrize("name", ["cross_entropy", "hinge", "logistic"])
def test_the_loss_of_mixed_labels_is_the_mix_of_the_losses(name):
    logits, labels = batch()
    other = labels.roll(1)
    shares = 0.3 * F.one_hot(labels, 4) + 0.7 * F.one_hot(other, 4)
    chosen = loss(name)
    mixed = 0.3 * chosen(logits, labels) + 0.7 * chosen(logits, other)
    torch.testing.assert_close(chosen(logits, shares.float()), mixed)


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_is_a_mix_with_every_class(name):
    logits, labels = batch()
    shares = 0.8 * F.one_hot(labels, 4) + 0.05
    torch.testing.assert_close(
        loss(name, smoothing=0.2)(logits, labels), loss(name)(logits, shares)
    )


@pytest.mark.parametrize("name", NAMES)
def test_balanced_weights_count_every_class_alike(name):
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(np.repeat(np.arange(4), COUNTS))
    logits = torch.randn(100, 4, generator=generator)
    chosen = loss(name)
    of_classes = torch.stack([chosen(logits[labels == k], labels[labels == k]) for k in range(4)])
    torch.testing.assert_close(loss(name, weights="balanced")(logits, labels), of_classes.mean())


def test_a_class_without_images_does_no_harm():
    section = Loss(name="cross_entropy", class_weights="balanced")
    chosen = make_loss(section, class_counts=np.array([5, 0, 5]))
    assert torch.isfinite(chosen(torch.zeros(2, 3), torch.tensor([0, 2])))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0])
    chosen = loss(name, smoothing=0.1)
    assert torch.autograd.gradcheck(lambda values: chosen(values, labels), logits)


@pytest.mark.parametrize("name", ["cross_entropy", "logistic"])
def test_large_logits_stay_finite(name):
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0]], requires_grad=True)
    value = loss(name)(logits, torch.tensor([1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
