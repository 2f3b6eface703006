"""How the gradient shrinks or grows on its way back through a net (deck 001)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ResourceError
from striate.explanation.gradients import MOST_WEIGHTS, Size, check_sample, resolve
from striate.nets import Net, NetModule
from striate.nets.graph import steps
from striate.nets.layers import Parallel

Verdict = Literal["steady", "vanishing", "exploding"]

MOST_BYTES = 8 * 2**30
_FACTOR = 1000.0  # between the first and the last layer: beyond it one rate cannot suit both
_REMEDIES = {
    "steady": "",
    "vanishing": "; He's initialisation, batch normalisation or skip connections keep it level",
    "exploding": "; skip connections keep it level, and clipping bounds it",
}


@dataclass(frozen=True)
class LayerFlow:
    """The gradient at one layer.

    Attributes:
        name: In the net, "conv1".
        text: Its word, "conv3-64"; empty for a sum or concatenation of branches.
        gradient: The norm of the gradient by its output, over the whole batch.
        weight_gradient: The norm of the gradient by its weights, or None if it has none.
    """

    name: str
    text: str
    gradient: float
    weight_gradient: float | None

    def to_json(self) -> dict[str, Any]:
        """One of `layers` in the document of `striate check-gradient --flow`."""
        return {
            "name": self.name,
            "text": self.text,
            "gradient": _number(self.gradient),
            "weight_gradient": _number(self.weight_gradient),
        }


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` found.

    Attributes:
        net: The canonical text.
        input: H, W, C of the images.
        batch: How many there were.
        seed: What they, their labels and the weights came from.
        loss: "cross-entropy", or "square" for a net that gives one value or a volume.
        layers: Every layer, in the order of the text.
    """

    net: str
    input: Size
    batch: int
    seed: int
    loss: str
    layers: tuple[LayerFlow, ...]

    @property
    def ratio(self) -> float:
        """The gradient at the first layer with weights over that at the last; 1 if they are one."""
        trained = self._trained
        if len(trained) < 2:
            return 1.0
        first, last = trained[0].gradient, trained[-1].gradient
        return first / last if last != 0 else math.nan

    @property
    def verdict(self) -> Verdict:
        """`vanishing` or `exploding` if that ratio is beyond a factor of 1000."""
        if self.ratio > _FACTOR:
            return "exploding"
        return "steady" if self.ratio >= 1 / _FACTOR else "vanishing"  # NaN too: 0 by 0

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        trained = self._trained
        if len(trained) < 2:
            return "Steady: there is no way from one layer with weights to another."
        first, last = trained[0], trained[-1]
        if not 0 < self.ratio < math.inf:
            return f"The gradient at {first.name} is {first.gradient:g}: nothing can be learned."
        each = self.ratio ** (1 / (len(trained) - 1))
        return (
            f"{self.verdict.capitalize()}: the gradient at {first.name} is {self.ratio:.3g} times "
            f"that at {last.name}, a factor of {each:.3g} a layer with weights"
            f"{_REMEDIES[self.verdict]}."
        )

    def to_json(self) -> dict[str, Any]:
        """The document that `striate check-gradient --flow --json` prints."""
        return {
            "net": self.net,
            "input": list(self.input),
            "batch": self.batch,
            "seed": self.seed,
            "loss": self.loss,
            "layers": [layer.to_json() for layer in self.layers],
            "ratio": _number(self.ratio),
            "verdict": self.verdict,
            "sentence": self.sentence,
        }

    @property
    def _trained(self) -> list[LayerFlow]:
        return [layer for layer in self.layers if layer.weight_gradient is not None]


def gradient_flow(
    net: str | Path | Net | NetModule,
    *,
    input: Size | None = None,
    batch: int = 32,
    seed: int = 0,
) -> GradientFlow:
    """Follow the gradient of the loss back through a net, for a batch of random images.

    The loss is the cross-entropy of random labels, or the square error to random values for a net
    that does not end in a row of classes. A net gets PyTorch's initialisation; a module keeps its
    weights. All in fp32 and in training mode.

    Args:
        net: A net, its text, name or file; or a module, which is copied.
        input: H, W, C of the images; by default the net's own. A module has its own.
        batch: How many images, at least 2: batch normalisation needs as many.
        seed: Of the images, their labels, the weights and the masks of dropout.

    Raises:
        NetError: If the net cannot be read or built.
        UsageError: If an argument is out of range.
        ResourceError: If it would take too much memory.
    """
    check_sample(batch, seed)
    plan, size = resolve(net, input)
    _check_memory(plan, size, batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = copy.deepcopy(net) if isinstance(net, NetModule) else plan.build(size)
        images = torch.randn(batch, size[2], size[0], size[1])
        texts = {step.name: step.text for step in steps(plan.graph)}
        loss, layers = _follow(module.cpu().float().train(), images, texts)
    return GradientFlow(
        net=plan.text,
        input=size,
        batch=batch,
        seed=seed,
        loss=loss,
        layers=layers,
    )


def _check_memory(net: Net, size: Size, batch: int) -> None:
    summary = net.summary(size, batch=batch)
    if summary.memory_bytes > MOST_BYTES or summary.parameters > MOST_WEIGHTS:
        gigabytes = summary.memory_bytes / 2**30
        raise ResourceError(
            f"about {gigabytes:.1f} GiB; the limit is {MOST_BYTES / 2**30:g} GiB and "
            f"{MOST_WEIGHTS:,} weights",
            hint="give it smaller images, or fewer of them",
        )


def _follow(
    module: NetModule, images: Tensor, texts: dict[str, str]
) -> tuple[str, tuple[LayerFlow, ...]]:
    """The kind of loss, and the gradient at every layer."""
    outputs = module.stages(images.requires_grad_())
    weights = dict(_weights(module.layers))
    kind, loss = _loss(list(outputs.values())[-1])
    tensors = [*outputs.values(), *[weight for group in weights.values() for weight in group]]
    found = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    norms = iter([float(gradient.double().norm()) for gradient in found])
    by_output = {name: next(norms) for name in outputs}
    by_weights = {
        name: math.hypot(*[next(norms) for _ in group]) if group else None
        for name, group in weights.items()
    }
    return kind, tuple(
        LayerFlow(name, texts.get(name, ""), by_output[name], by_weights[name]) for name in outputs
    )


def _weights(chain: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Every layer's name and its trained weights, in the order of `NetModule.stages`."""
    for name, layer in chain.named_children():
        joins = isinstance(layer, Parallel)
        if isinstance(layer, Parallel):
            for branch in layer.branches:
                yield from _weights(branch)
        yield name, [p for p in layer.parameters(recurse=not joins) if p.requires_grad]


def _loss(output: Tensor) -> tuple[str, Tensor]:
    values = output.flatten(1)
    if values.shape[1] > 1 and output[0].numel() == output.shape[1]:
        labels = torch.randint(values.shape[1], (len(values),))
        return "cross-entropy", F.cross_entropy(values, labels)
    return "square", F.mse_loss(values, torch.randn_like(values))


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
