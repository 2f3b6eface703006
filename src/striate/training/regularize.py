"""Penalties on weights and activations, noise on inputs, mixed images, a bound on the gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.data.resident import send
from striate.errors import UsageError
from striate.training.sections import Regularize

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU)


class Regularizer:
    """What a recipe's `regularize` section asks for; random draws come from PyTorch's generator.

    Args:
        regularize: The section.
        classes: K.
    """

    def __init__(self, regularize: Regularize, *, classes: int) -> None:
        self._settings = regularize
        self._classes = classes
        self._activity: list[Tensor] = []

    def perturb(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Add Gaussian noise of deviation `jitter` (deck 000), then mix pairs of images.

        `mixup` (Zhang et al., 2018) and `cutmix` (Yun et al., 2019) are the parameter of the Beta
        distribution of the shares; where both are given, each batch has one of them by chance.

        Args:
            images: Floating (N, C, H, W), normalised.
            labels: int64 (N,).

        Returns:
            The images, and the labels as they are or, of mixed images, class shares fp32 (N, K).
        """
        settings = self._settings
        if settings.jitter > 0:
            images = images + settings.jitter * torch.randn_like(images)
        if settings.mixup == settings.cutmix == 0:
            return images, labels
        by_cutting = bool(torch.rand(()) < 0.5) if settings.mixup > 0 else True
        if by_cutting and settings.cutmix > 0:
            return self._cutmix(images, labels)
        return self._mixup(images, labels)

    def forward(self, module: nn.Module, images: Tensor) -> Tensor:
        """Run the module; remember the size of its activations where `activation_l1` asks for it.

        Raises:
            UsageError: If there is no activation to penalise.
        """
        self._activity = []
        if self._settings.activation_l1 == 0:
            logits: Tensor = module(images)
            return logits
        layers = [layer for layer in module.modules() if isinstance(layer, ACTIVATIONS)]
        if not layers:
            raise UsageError("the net has no activations", path="regularize.activation_l1")
        hooks = [layer.register_forward_hook(self._remember) for layer in layers]
        try:
            logits = module(images)
        finally:
            for hook in hooks:
                hook.remove()
        return logits

    def penalty(self, module: nn.Module) -> Tensor | float:
        """Add up the penalties; to be called after `forward`.

        `l1` sum |w| + `l2` / 2 sum w^2 over all weights but biases and the gains of normalisation
        (deck 001), and `activation_l1` times the mean size of each activation layer's output,
        summed over the layers (sparse representations: Goodfellow et al., section 7.10).

        Returns:
            A scalar; 0.0 where nothing is asked for.
        """
        settings = self._settings
        total: Tensor | float = 0.0
        weights = []
        if settings.l1 > 0 or settings.l2 > 0:
            weights = [w for w in module.parameters() if w.ndim > 1]
        if settings.l1 > 0:
            total = total + settings.l1 * torch.stack([w.abs().sum() for w in weights]).sum()
        if settings.l2 > 0:
            squares = torch.stack([w.square().sum() for w in weights]).sum()
            total = total + settings.l2 / 2 * squares
        if self._activity:
            total = total + settings.activation_l1 * torch.stack(self._activity).sum()
        return total

    def clip(self, module: nn.Module) -> None:
        """Scale the gradient down to a norm of at most `clip_norm`."""
        if self._settings.clip_norm > 0:
            nn.utils.clip_grad_norm_(module.parameters(), self._settings.clip_norm)

    def _remember(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        self._activity.append(output.float().abs().mean())

    def _mixup(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Blend each image with another of the batch."""
        share = _beta(self._settings.mixup)
        other = send(torch.randperm(len(images)), images.device)
        return torch.lerp(images[other], images, share), self._shares(labels, other, share)

    def _cutmix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Paste a box of another image of the batch into each, at one place for all."""
        height, width = images.shape[2:]
        side = math.sqrt(1 - _beta(self._settings.cutmix))
        rows, columns = round(side * height), round(side * width)
        top = int(torch.randint(height - rows + 1, ()))
        left = int(torch.randint(width - columns + 1, ()))
        other = send(torch.randperm(len(images)), images.device)
        box = (..., slice(top, top + rows), slice(left, left + columns))
        mixed = images.clone()
        mixed[box] = images[other][box]
        share = 1 - rows * columns / (height * width)  # as it came out after rounding
        return mixed, self._shares(labels, other, share)

    def _shares(self, labels: Tensor, other: Tensor, share: float) -> Tensor:
        shares = F.one_hot(labels, self._classes).float()
        return torch.lerp(shares[other], shares, share)


def _beta(strength: float) -> float:
    return float(torch.distributions.Beta(strength, strength).sample())
