"""Backpropagation through a small net, whose numbers are drawn so that a hand can follow them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import NetError, UsageError
from striate.explanation.layer_rules import JOINS, rule_of
from striate.explanation.matrices import LONGEST_ROW
from striate.explanation.net_derivation import LayerDerivation, NetDerivation, Seen
from striate.explanation.reference_net import reference_net
from striate.nets import LocatedNetError, Net
from striate.nets.graph import BatchNorm, Volume
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep
from striate.reference import LOSSES, Node, backward, forward, one_hot, reconstruction
from striate.reference.losses import reconstruction_gradient

Array = NDArray[np.float64]

MOST_VALUES = 160  # of an array that can be read
MOST_LAYERS = 60

LOSS_NAMES = ("sum", "reconstruction", *LOSSES)


def derive_net(
    net: Net, *, seed: int = 0, loss: str | None = None, label: int | None = None
) -> NetDerivation:
    """Run a small net on one image, and follow the derivative of its loss back to every number.

    The net is as while training. The image and the weights are drawn in tenths.

    Args:
        net: A net that names its input size.
        seed: Of the draws.
        loss: "sum" of the outputs, "reconstruction" of the image, or a loss as in a recipe. By
            default the cross-entropy; but the output itself where it is one number, and the sum
            where it is a volume.
        label: The image's class, from 0, where the loss takes one; by default 0.

    Raises:
        NetError: If the net does not fit its input, or is too large to be read.
        UsageError: If the loss does not fit the net's output.
    """
    traced = net.trace()
    _check_size("the input", _shape(traced.input))
    described = dict(_described(net, traced.chain))
    if len(described) > MOST_LAYERS:
        raise NetError(f"{len(described)} layers are too many to read; the limit is {MOST_LAYERS}")
    generator = np.random.default_rng(seed)
    image = _tenths(generator, 1.0, _shape(traced.input))[None]
    layers = reference_net(traced, _Draw(generator), generator=generator)
    nodes = forward(layers, image)
    last = layers[-1].name
    words, value, slope = _loss(nodes[last].value, image, loss, label)
    found = backward(nodes, last, slope)
    described["flatten"] = ("", "the same numbers, in a row")
    parts = [LayerDerivation("input", str(traced.input), "", _arrays("input", nodes, found))]
    for layer in layers:
        arrays = _arrays(layer.name, nodes, found)
        parts.append(LayerDerivation(layer.name, *described[layer.name], arrays))
    return NetDerivation(net.text, seed, words, value, tuple(parts))


def _described(net: Net, chain: TracedChain) -> Iterator[tuple[str, tuple[str, str]]]:
    """The name, text and rule of every layer, in the order of the text; none is too large."""
    for part in chain:
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from _described(net, branch)
            join = part.parallel.join
            _check_size(part.parallel.name, _shape(part.output))
            yield part.parallel.name, ("( + )" if join == "add" else "( | )", JOINS[join])
        else:
            _check_step(net, part)
            yield part.step.name, (part.step.text, rule_of(part.step.layer))


def _check_step(net: Net, part: TracedStep) -> None:
    _check_size(part.step.text, _shape(part.output))
    single = (part.input.height, part.input.width) == (1, 1)
    if isinstance(part.step.layer, BatchNorm) and single:
        message = f"{part.step.text} on {part.input}: one image gives each channel a single value"
        hint = "which has no variance; put it where there are several positions, or use ln"
        raise LocatedNetError(message, source=net.source, place=part.step.place, hint=hint)


def _shape(volume: Volume) -> tuple[int, ...]:
    return (volume.size,) if volume.flat else (volume.channels, volume.height, volume.width)


def _check_size(what: str, shape: tuple[int, ...]) -> None:
    row = shape[-3] if len(shape) > 2 and shape[-2:] == (1, 1) else shape[-1]
    if math.prod(shape) > MOST_VALUES or row > LONGEST_ROW:
        size = "x".join(map(str, shape))
        raise NetError(
            f"{what}: {size} numbers are too many to read; the limit is {MOST_VALUES}, "
            f"and {LONGEST_ROW} in a row",
            hint="take a smaller input, as in 4x4x1, or fewer kernels and units",
        )


@dataclass(frozen=True)
class _Draw:
    """Draws the weights: small enough that sums over the inputs stay near 1."""

    generator: np.random.Generator

    def __call__(self, name: str, shape: tuple[int, ...]) -> Array:
        _check_size(name, shape)
        layer, kind = name.split(".")
        if layer.startswith(("bn", "ln")):
            return np.full(shape, 1.0 if kind == "weight" else 0.0)
        fan_in = math.prod(shape[1:4]) if kind == "weight" else 4
        return _tenths(self.generator, max(0.2, math.sqrt(3 / fan_in)), shape)


def _tenths(generator: np.random.Generator, bound: float, shape: tuple[int, ...]) -> Array:
    return generator.uniform(-bound, bound, shape).round(1)


def _loss(
    outputs: Array, image: Array, loss: str | None, label: int | None
) -> tuple[str, float, Array]:
    """What the loss is in words, its value, and its gradient to the outputs."""
    classes = outputs.shape[1] if outputs.ndim == 2 else 0
    if loss is None:
        loss = "cross_entropy" if classes > 1 or label is not None else "sum"
    if loss not in LOSS_NAMES:
        raise UsageError(f"there is no loss `{loss}`", hint=f"there are {', '.join(LOSS_NAMES)}")
    if loss in LOSSES:
        return _loss_of_label(outputs, loss, classes, label or 0)
    if label is not None:
        raise UsageError(f"the loss {loss} takes no label")
    if loss == "sum":
        words = "the output" if outputs.size == 1 else "the sum of the outputs"
        return words, float(outputs.sum()), np.ones_like(outputs)
    if outputs.size != image.size:
        raise UsageError(f"{outputs.size} outputs cannot be compared with {image.size} inputs")
    target = image.reshape(outputs.shape)
    gradient = reconstruction_gradient(outputs, target)
    words = "the reconstruction error, the image held fixed as the target"
    return words, reconstruction(outputs, target), gradient


def _loss_of_label(outputs: Array, loss: str, classes: int, label: int) -> tuple[str, float, Array]:
    if classes < 2:
        raise UsageError(f"the loss {loss} needs two outputs or more", hint="or take --loss sum")
    if not 0 <= label < classes:
        raise UsageError(f"label {label} is not one of the {classes} outputs, which count from 0")
    function, gradient = LOSSES[loss]
    shares = one_hot(np.array([label]), classes)
    words = f"the loss {loss} with label {label}"
    return words, function(outputs, shares), gradient(outputs, shares)


def _arrays(name: str, nodes: dict[str, Node], found: dict[str, Array]) -> tuple[Seen, ...]:
    weights = tuple(
        Seen(other.removeprefix(f"{name}."), node.value, found[other])
        for other, node in nodes.items()
        if other.startswith(f"{name}.")
    )
    own = "image" if name == "input" else "output"
    return (*weights, Seen(own, nodes[name].value[0], found[name][0]))
