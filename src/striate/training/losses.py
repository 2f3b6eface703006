"""Losses: logits (N, K) and labels to one number, the mean over the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data.resident import send
from striate.training.sections import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]


def make_loss(loss: Loss, *, class_counts: NDArray[np.int64]) -> LossFunction:
    """The loss that a recipe names.

    With logits f and class shares t (1 for the label, else 0), the loss of an image is:

    - `cross_entropy`: -sum_k t_k log softmax(f)_k (deck 003's multi-class logistic loss).
    - `square`: sum_k (f_k - t_k)^2 (deck 001).
    - `hinge`: sum_k t_k max(0, 1 + max_{j != k} f_j - f_k) (Crammer & Singer, 2001).
    - `logistic`: sum_k log(1 + exp(-f_k)) t_k + log(1 + exp(f_k)) (1 - t_k), one against the rest.

    Label smoothing e replaces t by (1 - e) t + e / K. Balanced class weights multiply an image's
    loss by sum_k t_k N / (K n_k), with n_k of the N training images in class k and t before
    smoothing: their mean over the training images is 1, so that the rates keep their meaning.

    Args:
        loss: The recipe's section.
        class_counts: int64 (K,), the training images of each class.

    Returns:
        A function of logits, fp32 (N, K), and labels, int64 (N,) or class shares, fp32 (N, K), to a
        scalar.
    """
    classes = len(class_counts)
    weights = _class_weights(loss, class_counts)
    smoothing = loss.label_smoothing

    def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
        if loss.name == "cross_entropy" and weights is None:  # the same in one operator
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        shares = F.one_hot(labels, classes).to(logits.dtype) if labels.ndim == 1 else labels
        losses = _losses(loss.name, logits, shares * (1 - smoothing) + smoothing / classes)
        if weights is None:
            return losses.mean()
        return (losses * (shares @ send(weights, logits.device))).mean()

    return mean_loss


def _losses(name: str, logits: Tensor, shares: Tensor) -> Tensor:
    """The loss of each image: (N,)."""
    match name:
        case "cross_entropy":
            return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1)
        case "square":
            return (logits - shares).square().sum(dim=1)
        case "hinge":
            return (shares * _hinge_of_each_class(logits)).sum(dim=1)
        case _:
            each = F.binary_cross_entropy_with_logits(logits, shares, reduction="none")
            return each.sum(dim=1)


def _hinge_of_each_class(logits: Tensor) -> Tensor:
    """The loss if the label were k: (N, K). The best other class is the best or the second."""
    best = logits.topk(2, dim=1)
    is_best = F.one_hot(best.indices[:, 0], logits.shape[1]).bool()
    others = torch.where(is_best, best.values[:, 1:], best.values[:, :1])
    return F.relu(1 + others - logits)


def _class_weights(loss: Loss, counts: NDArray[np.int64]) -> Tensor | None:
    if loss.class_weights == "none":
        return None
    weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return torch.from_numpy(weights.astype(np.float32))
