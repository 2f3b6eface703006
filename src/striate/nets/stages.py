"""The stages of a net: cut where the map shrinks, as the tables of the papers are."""

from __future__ import annotations

from dataclasses import dataclass

from striate.nets.costs import frozen, parameters
from striate.nets.graph import Full, Volume
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep


@dataclass(frozen=True)
class Stage:
    """Layers that follow each other up to the next one that shrinks the map.

    Attributes:
        names: The layers and branches ("add1") in order.
        output: The volume after them.
    """

    names: tuple[str, ...]
    output: Volume

    def __str__(self) -> str:
        """The first and the last name, and the volume."""
        first, last = self.names[0], self.names[-1]
        span = first if first == last else f"{first}..{last}"
        return f"{span} ({self.output})"


def cut_stages(traced: Traced) -> tuple[Stage, ...]:
    """The stages of a net, without its head, the last fully connected layer.

    A stage begins with each layer, or branches, that gives a map of fewer rows or columns than it
    takes. Layers without weights make no stage of their own: a pooling belongs to the stage behind
    it, the last ones to the stage before. So the ResNets of the paper have its five, conv1 to
    conv5_x, and those of VGG one for the convolutions between two poolings and one for its
    fully connected layers.
    """
    parts = _before_head(traced.chain)
    stages: list[list[TracedStep | TracedParallel]] = []
    for part in parts:
        if not stages or (_shrinks(part) and any(map(_has_weights, stages[-1]))):
            stages.append([])
        stages[-1].append(part)
    if len(stages) > 1 and not any(map(_has_weights, stages[-1])):
        last = stages.pop()
        stages[-1].extend(last)
    return tuple(Stage(tuple(map(_name, stage)), stage[-1].output) for stage in stages)


def _before_head(chain: TracedChain) -> TracedChain:
    heads = [i for i, part in enumerate(chain) if _is_full(part)]
    return chain[: heads[-1]] if heads else chain


def _is_full(part: TracedStep | TracedParallel) -> bool:
    return isinstance(part, TracedStep) and isinstance(part.step.layer, Full)


def _shrinks(part: TracedStep | TracedParallel) -> bool:
    before, after = part.input, part.output
    return after.height < before.height or after.width < before.width


def _has_weights(part: TracedStep | TracedParallel) -> bool:
    if isinstance(part, TracedParallel):
        return any(_has_weights(inner) for branch in part.branches for inner in branch)
    sizes = (part.step.layer, part.input, part.output)
    return parameters(*sizes) + frozen(*sizes) > 0


def _name(part: TracedStep | TracedParallel) -> str:
    return part.step.name if isinstance(part, TracedStep) else part.parallel.name
