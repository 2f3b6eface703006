"""The volume between any two layers of a net on images of a given size."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate.nets.costs import depth
from striate.nets.graph import (
    Activation,
    Chain,
    Convolution,
    Full,
    GlobalAverage,
    Layer,
    Pair,
    Parallel,
    Pool,
    Reshape,
    ResponseNorm,
    Step,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.source import LocatedNetError
from striate.nets.windows import Axis, MisfitError, axes, dropped_text, pooled, transposed

LARGEST_VOLUME = 2**40  # values for one image


@dataclass(frozen=True)
class TracedStep:
    """A layer with the volumes before and after it.

    `partner` is the name of the maxpool that an unpool undoes.
    """

    step: Step
    input: Volume
    output: Volume
    partner: str | None = None


@dataclass(frozen=True)
class TracedParallel:
    """Branches with the volumes before and after them."""

    parallel: Parallel
    branches: tuple[TracedChain, ...]
    input: Volume
    output: Volume


TracedChain = tuple[TracedStep | TracedParallel, ...]


@dataclass(frozen=True)
class Traced:
    """A net on an input: every volume, and what is probably not meant.

    `depth` counts the layers with weights on the longest way through.
    """

    input: Volume
    chain: TracedChain
    output: Volume
    depth: int
    warnings: tuple[str, ...]


def trace(chain: Chain, volume: Volume, source: str) -> Traced:
    """The volumes of a net on an input volume.

    Args:
        chain: The graph.
        volume: What the first layer takes.
        source: The text that the places in the graph point into.

    Raises:
        LocatedNetError: Where a layer does not fit its input, or branches do not match.
    """
    tracer = _Tracer(source)
    traced, output = tracer.chain(chain, volume)
    tracer.look_at_end(chain)
    warnings = tuple(dict.fromkeys(tracer.warnings))
    return Traced(volume, traced, output, depth(chain), warnings)


@dataclass
class _Tracer:
    source: str
    warnings: list[str] = field(default_factory=list)
    pools: list[TracedStep] = field(default_factory=list)

    def fail(self, message: str, part: Step | Parallel) -> LocatedNetError:
        used = "" if part.used is None else f" (in {part.used})"
        return LocatedNetError(message + used, source=self.source, place=part.place)

    def chain(self, chain: Chain, volume: Volume) -> tuple[TracedChain, Volume]:
        traced: list[TracedStep | TracedParallel] = []
        for part in chain:
            one = self._step(part, volume) if isinstance(part, Step) else self._all(part, volume)
            traced.append(one)
            volume = one.output
        return tuple(traced), volume

    def _step(self, step: Step, volume: Volume) -> TracedStep:
        try:
            traced = self._fitted(step, volume)
        except MisfitError as misfit:
            raise self.fail(f"{step.text} on {volume}: {misfit}", step) from None
        if isinstance(step.layer, Pool) and step.layer.kind == "max":
            self.pools.append(traced)
        return traced

    def _fitted(self, step: Step, volume: Volume) -> TracedStep:
        layer = step.layer
        if volume.flat and isinstance(layer, _SPATIAL):
            raise MisfitError("this needs height and width (put a reshape before it)")
        if isinstance(layer, Unpool):
            pool = self._partner(layer, volume)
            return TracedStep(step, volume, pool.input, pool.step.name)
        output = output_of(layer, volume)
        if output.size > LARGEST_VOLUME:
            raise MisfitError(f"{output} values for one image are too many")
        lost = None if (window := _window(layer, volume)) is None else dropped_text(window)
        if lost is not None:
            self.warnings.append(f"{step.text} on {volume}: {lost}")
        return TracedStep(step, volume, output)

    def _partner(self, layer: Unpool, volume: Volume) -> TracedStep:
        if not self.pools:
            raise MisfitError("no maxpool before it is left to undo")
        pool = self.pools.pop()
        if not isinstance(pool.step.layer, Pool) or pool.step.layer.kernel != layer.factor:
            raise MisfitError(f"the maxpool to undo is {pool.step.text}")
        if pool.output != volume:
            raise MisfitError(f"the maxpool to undo gave {pool.output}")
        return pool

    def _all(self, parallel: Parallel, volume: Volume) -> TracedParallel:
        pairs = [self.chain(branch, volume) for branch in parallel.branches]
        outputs = [output for _, output in pairs]
        for number, other in enumerate(outputs[1:], start=2):
            if not _joins(parallel, outputs[0], other):
                verb = "added" if parallel.join == "add" else "concatenated"
                message = (
                    f"branch 1 gives {outputs[0]} and branch {number} gives {other}: "
                    f"they cannot be {verb}"
                )
                raise self.fail(message, parallel)
        first = outputs[0]
        channels = first.channels if parallel.join == "add" else sum(o.channels for o in outputs)
        output = Volume(first.height, first.width, channels, first.flat)
        return TracedParallel(parallel, tuple(chain for chain, _ in pairs), volume, output)

    def look_at_end(self, chain: Chain) -> None:
        last = chain[-1] if chain else None
        if isinstance(last, Step) and last.layer == Activation("softmax"):
            self.warnings.append(
                "softmax at the end: the loss applies it itself, so training sees it twice"
            )


_SPATIAL = (
    Convolution,
    TransposedConvolution,
    Whiten,
    Pool,
    GlobalAverage,
    Upsample,
    Unpool,
    ResponseNorm,
)


def _joins(parallel: Parallel, first: Volume, other: Volume) -> bool:
    if parallel.join == "add":
        return first == other
    place = (first.height, first.width, first.flat)
    return place == (other.height, other.width, other.flat)


def output_of(layer: Layer, volume: Volume) -> Volume:
    """The volume after a layer that keeps, flattens or changes it (but for `unpool`).

    Raises:
        MisfitError: If the layer does not fit.
    """
    match layer:
        case Full():
            output = Volume(1, 1, layer.units, flat=True)
        case Reshape():
            output = Volume(layer.height, layer.width, layer.channels)
            if output.size != volume.size:
                raise MisfitError(f"{volume.size} values do not make {output.size}")
        case Convolution() | TransposedConvolution():
            output = Volume(*_convolved(layer, volume), layer.channels)
        case Whiten(kernel=(height, width)):
            rows, columns = Axis(volume.height, height, 1, 0), Axis(volume.width, width, 1, 0)
            output = Volume(rows.outputs(), columns.outputs(), 2 * height * width * volume.channels)
        case Pool():
            output = Volume(*pooled(layer, volume), volume.channels)
        case GlobalAverage():
            output = Volume(1, 1, volume.channels)
        case Upsample(factor=(down, across)):
            output = Volume(volume.height * down, volume.width * across, volume.channels)
        case _:
            output = volume
    return output


def _convolved(layer: Convolution | TransposedConvolution, volume: Volume) -> Pair:
    if volume.channels % layer.groups or layer.channels % layer.groups:
        both = f"{volume.channels} and {layer.channels} channels"
        raise MisfitError(f"{layer.groups} groups must divide {both}")
    if isinstance(layer, TransposedConvolution):
        return transposed(layer, volume)
    rows, columns = axes(layer, volume)
    return rows.outputs(ceil=layer.ceil), columns.outputs(ceil=layer.ceil)


def _window(layer: Layer, volume: Volume) -> tuple[Axis, Axis] | None:
    """The axes of a layer that may drop rows or columns."""
    if isinstance(layer, Convolution | Pool) and not layer.ceil:
        return axes(layer, volume)
    return None
