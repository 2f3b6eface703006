"""The layers of a net whose time is that of matrix products."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from striate.nets import NetModule
from striate.nets.graph import Step
from striate.nets.work import Work, cut


@dataclass(frozen=True, eq=False)
class MultiplyingLayer:
    """A convolution or a fully connected layer.

    Attributes:
        name: In the net, as "conv3".
        text: Its word in the net's text.
        work: Its volumes and multiply-adds, and whether its input asks for a gradient.
        weights: The tensor of a module that it multiplies with.
    """

    name: str
    text: str
    work: Work
    weights: Tensor


def multiplying_layers(module: NetModule) -> list[MultiplyingLayer]:
    """The layers that multiply with weights, in the order of the net."""
    weights = {
        name.split(".")[-2]: tensor
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
        if name.endswith(".weight")
    }
    return [
        MultiplyingLayer(step.name, step.text, work, weights[step.name])
        for work in cut(module.net.trace(), fused=False)
        if work.multiply_adds and isinstance(step := work.layers[-1], Step)
    ]
