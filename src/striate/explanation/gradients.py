"""The gradient check of the lectures, layer by layer (deck 001): which layer is wrong?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import ModelError, ResourceError, UsageError
from striate.explanation.differences import (
    Comparison,
    Function,
    choose_places,
    compare_direction,
    compare_entries,
)
from striate.nets import Net, NetModule, load_net
from striate.nets.graph import steps
from striate.nets.layers import Parallel

Size = tuple[int, int, int]  # H, W, C

MOST_ENTRIES = 10_000
LARGEST_BATCH = 1024
MOST_WEIGHTS = 2 * 10**8  # in float64, 1.6 GB
MOST_WORK = 5e11  # multiply-adds; a minute or two on one core
_TENSORS = 3  # of a layer, as a rule: its input, its weight and its bias
_NUDGE = 1e-3  # of the values' size: breaks ties before a step along all entries at once
_UNKNOWN = Comparison(math.inf, 0, 0)


@dataclass(frozen=True)
class LayerCheck:
    """The gradients of one layer alone.

    Attributes:
        name: In the net, "conv1".
        text: Its word, "conv3-64", with the class of a module that does not come from the net.
        inputs: The gradient by what comes in, the worst of all inputs.
        weights: The gradient by each of its weights.
        failure: What it raised instead of giving gradients.
        tolerance: The relative error to bear.
    """

    name: str
    text: str
    inputs: Comparison
    weights: dict[str, Comparison]
    failure: str | None
    tolerance: float

    @property
    def error(self) -> float:
        """The largest relative error."""
        return max(c.error for c in (self.inputs, *self.weights.values()))

    @property
    def kinks(self) -> int:
        """Entries at a kink, whose gradient lies between the slopes on its two sides."""
        return sum(c.kinks for c in (self.inputs, *self.weights.values()))

    @property
    def passed(self) -> bool:
        """Whether all gradients are right."""
        return self.failure is None and self.error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """One of `layers` in the document of `striate check-gradient`."""
        return {
            "name": self.name,
            "text": self.text,
            "input": _document(self.inputs),
            "weights": {name: _document(found) for name, found in self.weights.items()},
            "failure": self.failure,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradient` found.

    Attributes:
        net: The canonical text.
        input: H, W, C of the images.
        batch: How many there were.
        seed: What they and all other chance came from.
        tolerance: The relative error to bear.
        layers: Every layer, and every sum or concatenation of branches, in the order of the text.
    """

    net: str
    input: Size
    batch: int
    seed: int
    tolerance: float
    layers: tuple[LayerCheck, ...]

    @property
    def wrong(self) -> LayerCheck | None:
        """The first layer whose gradients are wrong."""
        return next((layer for layer in self.layers if not layer.passed), None)

    @property
    def passed(self) -> bool:
        """Whether the gradients of all layers are right."""
        return self.wrong is None

    def raise_if_wrong(self) -> None:
        """Raise a `ModelError` that names the first layer whose gradients are wrong."""
        wrong = self.wrong
        if wrong is None:
            return
        text = f" ({wrong.text})" if wrong.text else ""
        what = f"differs from the numerical one by {wrong.error:.2g}"
        if wrong.failure is not None:
            what = f"cannot be had: {wrong.failure}"
        raise ModelError(
            f"the gradient of {wrong.name}{text} {what}",
            hint="the layers before it are right",
        )

    def to_json(self) -> dict[str, Any]:
        """The document that `striate check-gradient --json` prints."""
        return {
            "net": self.net,
            "input": list(self.input),
            "batch": self.batch,
            "seed": self.seed,
            "tolerance": self.tolerance,
            "layers": [layer.to_json() for layer in self.layers],
            "wrong": None if self.wrong is None else self.wrong.name,
            "passed": self.passed,
        }


def check_gradient(
    net: str | Path | Net | NetModule,
    *,
    input: Size | None = None,
    batch: int = 2,
    seed: int = 0,
    tolerance: float = 1e-6,
    entries: int = 10,
) -> GradientCheck:
    """Compare the gradients of every layer with numerical ones, in float64.

    Each layer is checked alone, on the values that reach it for a batch of random images: its
    gradient by its input and by each of its weights, at a sample of entries and along a random
    direction through all of them. The layers are in training mode; dropout keeps one mask. At a
    kink (a rectifier at 0, equal maxima in a pooling) the gradient has to lie between the slopes on
    the two sides.

    Args:
        net: A net, its text, name or file; or a module, which is copied and may have been altered.
        input: H, W, C of the images; by default the net's own. A module has its own.
        batch: How many images, at least 2: batch normalisation needs as many.
        seed: Of the images, the weights and the sample.
        tolerance: The relative error to bear.
        entries: How many of each tensor are compared one by one; all, if it has no more.

    Raises:
        NetError: If the net cannot be read or built.
        UsageError: If an argument is out of range.
        ResourceError: If it would take too long or too much memory.
        ModelError: If the module cannot run forward.
    """
    check_sample(batch, seed)
    if not 1 <= entries <= MOST_ENTRIES:
        raise UsageError(f"{entries} entries", hint=f"from 1 to {MOST_ENTRIES}")
    if not 1e-8 <= tolerance <= 0.1:
        raise UsageError(f"a tolerance of {tolerance:g}", hint="from 1e-8 to 0.1")
    plan, size = resolve(net, input)
    _check_cost(plan, size, batch=batch, entries=entries)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = copy.deepcopy(net) if isinstance(net, NetModule) else plan.build(size)
        module = module.cpu().double().train()
        images = torch.randn(batch, size[2], size[0], size[1], dtype=torch.float64)
        checker = _Checker(plan, seed=seed, tolerance=tolerance, entries=entries)
        checker.chain(module.layers, images)
    return GradientCheck(
        net=plan.text,
        input=size,
        batch=batch,
        seed=seed,
        tolerance=tolerance,
        layers=tuple(checker.layers),
    )


def check_sample(batch: int, seed: int) -> None:
    """Raise a `UsageError` if there cannot be so many images, or no such seed."""
    if not 2 <= batch <= LARGEST_BATCH:
        raise UsageError(f"a batch of {batch}", hint=f"from 2 to {LARGEST_BATCH} images")
    if not 0 <= seed < 2**63:
        raise UsageError(f"a seed of {seed}", hint="from 0 to 2^63 - 1")


def resolve(net: str | Path | Net | NetModule, input: Size | None) -> tuple[Net, Size]:
    """A net and the size of its images, with the stem for small images where it needs one.

    Raises:
        NetError: If the net cannot be read, or says no size where none is given.
        UsageError: If a module takes images of another size.
    """
    if isinstance(net, NetModule):
        if input is not None and tuple(input) != net.input:
            raise UsageError(f"the module takes images of {net.input}, not of {tuple(input)}")
        return net.net, net.input
    loaded = load_net(net)
    if input is not None:
        loaded = loaded.adapted_to(input)
    volume = loaded.trace(input).input
    return loaded, (volume.height, volume.width, volume.channels)


def _check_cost(net: Net, size: Size, *, batch: int, entries: int) -> None:
    summary = net.summary(size)
    if summary.parameters > MOST_WEIGHTS:
        raise ResourceError(
            f"{summary.parameters:,} weights are too many to check; the limit is {MOST_WEIGHTS:,}"
        )
    work = summary.multiply_adds * batch * _TENSORS * (2 * entries + 8)
    if work > MOST_WORK:
        raise ResourceError(
            f"the check would take {work:.1e} multiply-adds; the limit is {MOST_WORK:.0e}",
            hint="give it smaller images, or fewer entries",
        )


class _Checker:
    """Walks through a net and checks each layer on the values that reach it."""

    def __init__(self, net: Net, *, seed: int, tolerance: float, entries: int) -> None:
        self.layers: list[LayerCheck] = []
        self._texts = {step.name: step.text for step in steps(net.graph)}
        self._seed, self._tolerance, self._entries = seed, tolerance, entries
        self._chance = np.random.default_rng(seed)

    def chain(self, chain: nn.Module, x: Tensor) -> Tensor:
        """Check all layers of a chain, and return its output for `x`."""
        for name, layer in chain.named_children():
            if isinstance(layer, Parallel):
                outputs = [self.chain(branch, x) for branch in layer.branches]
                x = self._layer(name, layer, partial(_join, layer), outputs)
            else:
                x = self._layer(name, layer, layer, [x])
        return x

    def _layer(
        self, name: str, module: nn.Module, call: Callable[..., Tensor], values: list[Tensor]
    ) -> Tensor:
        own = module.named_parameters(recurse=not isinstance(module, Parallel))
        weights = {key: weight for key, weight in own if weight.requires_grad}
        self._forward(name, call, values)
        compared, failure = [_UNKNOWN] * (len(values) + len(weights)), None
        try:
            compared = self._compare(call, values, list(weights.values()))
        except RuntimeError as error:  # of a backward pass that an altered module brings
            failure = _first_line(error)
        inputs, others = compared[: len(values)], compared[len(values) :]
        self.layers.append(
            LayerCheck(
                name=name,
                text=self._text(name, module),
                inputs=reduce(_worse, inputs),
                weights=dict(zip(weights, others, strict=True)),
                failure=failure,
                tolerance=self._tolerance,
            )
        )
        # A pooling that remembers positions must have seen these values last.
        return self._forward(name, call, values)

    def _text(self, name: str, module: nn.Module) -> str:
        """The word in the net, and the class of a module that `Net.build` does not make."""
        kind = type(module)
        text = self._texts.get(name, "")
        if kind.__module__.startswith(("torch.nn.", "striate.nets.")):
            return text
        return f"{text} {kind.__name__}".strip()

    def _forward(self, name: str, call: Callable[..., Tensor], values: list[Tensor]) -> Tensor:
        try:
            with torch.no_grad():
                output = self._run(call, values)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{name} cannot run: {_first_line(error)}") from error
        if not bool(output.isfinite().all()):
            raise ModelError(f"{name} gives values that are not finite")
        return output

    def _run(self, call: Callable[..., Tensor], values: Sequence[Tensor]) -> Tensor:
        # One mask of a dropout, however often it runs. (`torch.manual_seed` would also format a
        # traceback for every other device.)
        torch.default_generator.manual_seed(self._seed)
        return call(*[value.clone() for value in values])  # a layer may work in place

    def _compare(
        self, call: Callable[..., Tensor], values: list[Tensor], weights: list[Tensor]
    ) -> list[Comparison]:
        """The gradients by all inputs and weights: entry by entry, then along a direction."""
        points = [value.clone().requires_grad_() for value in values]
        tensors = [*points, *weights]
        function, gradients = self._gradients(call, points, tensors)
        found = [
            compare_entries(function, tensor, gradient, self._places(tensor))
            for tensor, gradient in zip(tensors, gradients, strict=True)
        ]
        with torch.no_grad():
            for point in points:
                _break_ties(point)
        function, gradients = self._gradients(call, points, tensors)
        errors = [
            compare_direction(function, tensor, gradient, torch.randn_like(tensor))
            for tensor, gradient in zip(tensors, gradients, strict=True)
        ]
        return [
            replace(comparison, error=max(comparison.error, error))
            for comparison, error in zip(found, errors, strict=True)
        ]

    def _places(self, tensor: Tensor) -> list[tuple[int, ...]]:
        return choose_places(tensor.shape, self._entries, self._chance)

    def _gradients(
        self, call: Callable[..., Tensor], points: list[Tensor], tensors: list[Tensor]
    ) -> tuple[Function, list[Tensor]]:
        output = self._run(call, points)
        weights = torch.randn_like(output)
        total = (output * weights).sum()
        gradients = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
        function = Function(lambda: self._run(call, points), weights, self._tolerance)
        return function, list(gradients)


def _join(layer: Parallel, *values: Tensor) -> Tensor:
    return layer.join(list(values))


def _break_ties(values: Tensor) -> None:
    """Move every value a little, but none below 0 that was not: a root may follow."""
    moved = values + _NUDGE * float(values.square().mean().sqrt()) * torch.randn_like(values)
    values.copy_(torch.where(values < 0, moved, moved.abs()))


def _worse(one: Comparison, other: Comparison) -> Comparison:
    return Comparison(
        max(one.error, other.error), one.entries + other.entries, one.kinks + other.kinks
    )


def _document(found: Comparison) -> dict[str, Any]:
    error = found.error if math.isfinite(found.error) else None
    return {"error": error, "entries": found.entries, "kinks": found.kinks}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
