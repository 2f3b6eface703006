"""The trunk: all convolutions of a small net, which one operator runs.

    conv5-6p0 tanh avgpool2 conv5-16p0 tanh avgpool2 | fc-120 tanh fc-10
    conv3-16 relu conv3-32 relu maxpool2 | fc-10

It is a row of small convolutions from the images on, each with an activation and a pooling of 2x2,
or without, after which the net has nothing but fully connected layers. Max pooling comes before or
after an activation that rises, which is the same; but only before one that also falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.kernels import TRUNK_ACTIVATIONS, TrunkLayer, can_run_trunk, run_trunk
from striate.nets.graph import (
    Activation,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    Pool,
    Scale,
)
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep

if TYPE_CHECKING:
    from striate.nets.fused import FusedChain

MOST_LAYERS = 8
MOST_CHANNELS = 32  # of what a convolution takes
MOST_KERNELS = 64
LARGEST_VOLUME = 2**15  # values of one image between two layers
FEWEST_IMAGES = 8  # sixteen are worked on together, whether there are as many or not
RISING = {"identity", "relu", "tanh", "sigmoid"}
POOLS = {"max pool": "max", "average pool": "average before"}
HEAD = (Full, Activation, Dropout, GlobalAverage, Scale)
USUAL = {
    *(nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d),
    *(nn.Identity, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU),
}


@dataclass(frozen=True)
class Trunk:
    """Layers at the start of a net.

    Attributes:
        names: Of all layers, in order.
        convolutions: Names of the convolutions.
        parts: What each of them does.
    """

    names: tuple[str, ...]
    convolutions: tuple[str, ...]
    parts: tuple[TrunkLayer, ...]

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """All of them."""
        return [chain._modules[name] for name in self.names]

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """In fp32, for enough images, and where no layer is one of another kind by now."""
        if len(x) < FEWEST_IMAGES or not can_run_trunk(x):
            return False
        usual = all(type(layer) in USUAL for layer in self.layers(chain))
        return usual and all(c.weight.dtype == torch.float32 for c in self._modules(chain))

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """Through the operator."""
        parameters: list[Tensor | None] = []
        for layer in self._modules(chain):
            parameters += [layer.weight, layer.bias]
        return run_trunk(x, self.parts, parameters)

    def _modules(self, chain: FusedChain) -> list[nn.Conv2d]:
        return [chain._modules[name] for name in self.convolutions]  # type: ignore[misc]


def find_trunk(chain: TracedChain) -> Trunk | None:
    """The trunk of a whole net, or None where it has none."""
    names: list[str] = []
    convolutions: list[str] = []
    parts: list[TrunkLayer] = []
    place = 0
    while place < len(chain) and (found := _layer(chain[place : place + 3])) is not None:
        layer, length = found
        steps = [part.step for part in chain[place : place + length]]  # type: ignore[union-attr]
        names += [step.name for step in steps]
        convolutions.append(steps[0].name)
        parts.append(layer)
        place += length
    if not 0 < len(parts) <= MOST_LAYERS or not all(_is_head(part) for part in chain[place:]):
        return None
    return Trunk(tuple(names), tuple(convolutions), tuple(parts))


def _layer(parts: TracedChain) -> tuple[TrunkLayer, int] | None:
    """The convolution that comes first, with what follows it, and how many layers that are."""
    first = parts[0]
    if not isinstance(first, TracedStep) or not _is_small_convolution(first):
        return None
    assert isinstance(first.step.layer, Convolution)
    kinds = [*map(_kind, parts[1:]), None, None]
    activation, pooling, count = _activation_and_pooling(kinds[0], kinds[1])
    return TrunkLayer(first.step.layer.padding, activation, pooling), 1 + count


def _activation_and_pooling(first: str | None, second: str | None) -> tuple[str, str, int]:
    """What the layers after a convolution are to the operator, and how many they are."""
    if first in POOLS:
        before = POOLS[first]
        return (second, before, 2) if second in TRUNK_ACTIVATIONS else ("identity", before, 1)
    if first not in TRUNK_ACTIVATIONS:
        return "identity", "none", 0
    if second == "average pool":
        return first, "average after", 2
    if second == "max pool" and first in RISING:
        return first, "max", 2
    return first, "none", 1


def _is_small_convolution(part: TracedStep) -> bool:
    layer, before = part.step.layer, part.input
    return (
        isinstance(layer, Convolution)
        and layer.shared
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and all(p < f for p, f in zip(layer.padding, layer.kernel, strict=True))
        and before.channels <= MOST_CHANNELS
        and layer.channels <= MOST_KERNELS
        and max(before.size, part.output.size) <= LARGEST_VOLUME
    )


def _kind(part: TracedStep | TracedParallel) -> str | None:
    """An activation by name, "max pool" or "average pool" of 2x2, or None."""
    if not isinstance(part, TracedStep):
        return None
    layer = part.step.layer
    if isinstance(layer, Activation):
        return layer.name
    if not isinstance(layer, Pool):
        return None
    window = (layer.kernel, layer.stride, layer.padding) == ((2, 2), (2, 2), (0, 0))
    names = {"max": "max pool", "avg": "average pool"}
    return names.get(layer.kind) if window and not layer.ceil else None


def _is_head(part: TracedStep | TracedParallel) -> bool:
    """Whether it works on what is flat, or on a whole volume without windows."""
    return isinstance(part, TracedStep) and isinstance(part.step.layer, HEAD)
