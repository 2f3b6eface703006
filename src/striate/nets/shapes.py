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
from striate.nets.printing import print_layer
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


@dataclass(frozen=True)
class _Pooled:
    """A stack of the maxpools that are not yet undone, the latest on top.

    `nesting` is how many branches the pool stands in, `height` how many pools the stack holds.
    """

    pool: TracedStep
    nesting: int
    height: int
    below: _Pooled | None


@dataclass
class _Tracer:
    source: str
    warnings: list[str] = field(default_factory=list)
    pooled: _Pooled | None = None
    nesting: int = 0

    def fail(self, message: str, part: Step | Parallel, hint: str | None = None) -> LocatedNetError:
        used = "" if part.used is None else f" (in {part.used})"
        return LocatedNetError(message + used, source=self.source, place=part.place, hint=hint)

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
            message = f"{step.text} on {volume}: {misfit}"
            raise self.fail(message, step, misfit.hint) from None
        if isinstance(step.layer, Pool) and step.layer.kind == "max":
            self.pooled = _Pooled(traced, self.nesting, _height(self.pooled) + 1, self.pooled)
        return traced

    def _fitted(self, step: Step, volume: Volume) -> TracedStep:
        layer = step.layer
        if volume.flat and isinstance(layer, _SPATIAL):
            raise MisfitError("this needs height and width", "put a reshape before it")
        if isinstance(layer, Unpool):
            pool = self._partner(layer, volume)
            return TracedStep(step, volume, pool.input, pool.step.name)
        output = output_of(layer, volume)
        if output.size > LARGEST_VOLUME:
            raise MisfitError(
                f"{output} values for one image are too many",
                "use a smaller factor, or pool before it",
            )
        lost = None if (window := _window(layer, volume)) is None else dropped_text(window)
        if lost is not None:
            self.warnings.append(f"{step.text} on {volume}: {lost}")
        return TracedStep(step, volume, output)

    def _partner(self, layer: Unpool, volume: Volume) -> TracedStep:
        if self.pooled is None:
            message = "no maxpool before it is left to undo"
            raise MisfitError(
                message, "put the maxpool that it undoes before it, in the same branch or outside"
            )
        pool = self.pooled.pool
        self.pooled = self.pooled.below
        text = pool.step.text
        if _undoing(pool) != layer:
            raise MisfitError(
                f"the maxpool to undo is {text}", f"write {print_layer(_undoing(pool))}"
            )
        if pool.output != volume:
            message = f"the maxpool to undo, {text}, gave {pool.output}"
            raise MisfitError(message, f"bring {pool.output} back before it")
        return pool

    def _all(self, parallel: Parallel, volume: Volume) -> TracedParallel:
        """Each branch may undo the pools before it; its own pools are not seen outside it."""
        before, left = self.pooled, []
        pairs: list[tuple[TracedChain, Volume]] = []
        self.nesting += 1
        for branch in parallel.branches:
            self.pooled = before
            pairs.append(self.chain(branch, volume))
            left.append(_outside(self.pooled, self.nesting))
        self.nesting -= 1
        self.pooled = min(left, key=_height)
        output = self._joined(parallel, [output for _, output in pairs])
        return TracedParallel(parallel, tuple(chain for chain, _ in pairs), volume, output)

    def _joined(self, parallel: Parallel, outputs: list[Volume]) -> Volume:
        first = outputs[0]
        for number, other in enumerate(outputs[1:], start=2):
            if not _joins(parallel, first, other):
                verb, same = _JOINS[parallel.join]
                message = (
                    f"branch 1 gives {first} and branch {number} gives {other}: "
                    f"they cannot be {verb}"
                )
                raise self.fail(message, parallel, f"all branches must give the same {same}")
        channels = first.channels if parallel.join == "add" else sum(o.channels for o in outputs)
        return Volume(first.height, first.width, channels, first.flat)

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


_JOINS = {"add": ("added", "volume"), "concat": ("concatenated", "height and width")}


def _undoing(pool: TracedStep) -> Unpool:
    layer = pool.step.layer
    assert isinstance(layer, Pool)
    return Unpool(layer.kernel)


def _height(pooled: _Pooled | None) -> int:
    return 0 if pooled is None else pooled.height


def _outside(pooled: _Pooled | None, nesting: int) -> _Pooled | None:
    """The stack without the pools that stand in `nesting` branches or more."""
    while pooled is not None and pooled.nesting >= nesting:
        pooled = pooled.below
    return pooled


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
                message = f"{volume.size} values do not make {output}, which has {output.size}"
                raise MisfitError(message, f"choose sides whose product is {volume.size}")
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
        both = f"{volume.channels} channels and {layer.channels} kernels"
        message = f"{layer.groups} groups do not divide both {both}"
        raise MisfitError(message, "choose groups that divide both")
    if isinstance(layer, TransposedConvolution):
        return transposed(layer, volume)
    rows, columns = axes(layer, volume)
    return rows.outputs(ceil=layer.ceil), columns.outputs(ceil=layer.ceil)


def _window(layer: Layer, volume: Volume) -> tuple[Axis, Axis] | None:
    """The axes of a layer that may drop rows or columns."""
    if isinstance(layer, Convolution | Pool) and not layer.ceil:
        return axes(layer, volume)
    return None
