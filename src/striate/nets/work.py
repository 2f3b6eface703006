"""A training step cut into pieces of work, to be measured and added up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from striate.errors import NetError
from striate.nets.costs import multiply_adds, parameters
from striate.nets.footprint import FEW_VALUES, FLOAT_BYTES
from striate.nets.fused import Fusion
from striate.nets.fusing import Normalization, fewest_pixels, find_fusions
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Chain,
    Code,
    Convolution,
    Full,
    Layer,
    LayerNorm,
    Parallel,
    Reshape,
    Scale,
    Step,
    TransposedConvolution,
    Volume,
    Whiten,
)
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep, trace
from striate.nets.trunk import find_trunk

FEWEST_IMAGES = 2  # batch normalisation needs two, and one is treated in a way of its own
FEWEST_TOGETHER = 16  # fewer go another way through 1x1 kernels and through a trunk
LARGEST_TENSOR = 64 * 2**20  # bytes of an input or output that is tried: out of any cache
MOST_WEIGHTS = 2**24  # numbers, of a layer that is tried
FEW_INPUTS = 256  # of a fully connected layer
SMALLEST_SIDE = 12  # a map is not cut further: its edges would count for too much


@dataclass(frozen=True)
class Work:
    """A layer, layers that run as one operator, or a join, as far as its time depends on it.

    Attributes:
        layers: The layer or layers; before an `unpool` the pooling that it undoes; none for a join.
        join: Which, if it is one.
        input: One image before it; of a join, one image after it.
        output: One image after it.
        multiply_adds: Of one image forward; 0 where no products count.
        weights: Numbers that training moves.
        tensors: In which these are held.
        trained: Whether its input asks for a gradient.
        fused: Whether a compiled operator runs it, where there is one.
        trunk: Whether that is the one for the first layers of a small net.
    """

    layers: Chain
    join: Literal["", "add", "concat"]
    input: Volume
    output: Volume
    multiply_adds: int = 0
    weights: int = 0
    tensors: int = 0
    trained: bool = True
    fused: bool = False
    trunk: bool = False

    @property
    def is_small_window(self) -> bool:
        """Whether it begins with a convolution by minimal filtering, given enough pixels."""
        first = self.layers[0] if self.layers else None
        filtered = isinstance(first, Step) and isinstance(first.layer, Convolution)
        return self.fused and not self.trunk and filtered

    @property
    def layer(self) -> Layer | None:
        """The only layer, if it is one."""
        first = self.layers[0] if len(self.layers) == 1 else None
        return first.layer if isinstance(first, Step) else None

    @property
    def values(self) -> int:
        """Of one image, before and after."""
        return self.input.size + self.output.size

    @property
    def amount(self) -> int:
        """What its time grows with, for one image: its products, or else its values."""
        return self.multiply_adds or self.values

    def tensor_bytes(self, batch: int) -> int:
        """Of the larger of its input and its output."""
        return FLOAT_BYTES * batch * max(self.input.size, self.output.size)

    def on(self, volume: Volume) -> Work:
        """The same on another input.

        Raises:
            NetError: If it does not fit.
        """
        if self.join:
            return replace(self, input=volume, output=volume)
        return replace(
            _piece(self.layers, volume, trained=self.trained, fused=self.fused), trunk=self.trunk
        )


def _piece(layers: Chain, volume: Volume, *, trained: bool, fused: bool) -> Work:
    traced = trace(layers, volume, "")
    parts = [(part.step.layer, part.input, part.output) for part in _steps(traced.chain)]
    return Work(
        layers,
        "",
        volume,
        traced.output,
        multiply_adds=sum(multiply_adds(*part) for part in parts),
        weights=sum(parameters(*part) for part in parts),
        tensors=sum(_tensors(layer) for layer, _, _ in parts),
        trained=trained,
        fused=fused,
    )


def _tensors(layer: Layer) -> int:
    match layer:
        case Convolution() | TransposedConvolution() | Full():
            return 1 + bool(layer.bias)
        case BatchNorm():
            return 1 + layer.scale
        case LayerNorm():
            return 2
    return int(isinstance(layer, Whiten))


def cut(traced: Traced, *, fused: bool = True) -> list[Work]:
    """The pieces of a step in the order of the text, but for those that cost nothing.

    Args:
        traced: The net.
        fused: Whether layers that run as one operator are one piece.
    """
    chain = traced.chain
    trunk = find_trunk(chain) if fused else None
    undone = {part.partner for part in _steps(chain) if part.partner is not None}
    cutter = _Cutter(undone, {part.step.name: part.step for part in _steps(chain)}, fuses=fused)
    length = len(trunk.names) if trunk else 0
    first = cutter.fused(chain[:length], None) if trunk else []
    first = [replace(piece, trunk=True) for piece in first]
    return first + cutter.chain(chain[length:])


@dataclass
class _Cutter:
    undone: set[str]
    steps: dict[str, Step]
    fuses: bool
    trained: bool = False

    def chain(self, chain: TracedChain) -> list[Work]:
        fusions, pieces, place = find_fusions(chain) if self.fuses else {}, [], 0
        while place < len(chain):
            name = _name(chain[place])
            fusion = self._first(fusions.get(name, []))
            after = place + (len(fusion.names) if fusion else 1)
            if fusion:
                branch = fusion.branch if isinstance(fusion, Normalization) else None
                pieces += self.fused(chain[place:after], branch)
            else:
                pieces += self._part(chain[place])
            place = after
        return pieces

    def _first(self, fusions: list[Fusion]) -> Fusion | None:
        """That which runs: a pooling that is undone later does so for itself.

        Where a convolution and its pooling are one operator only for more pixels than there are,
        the pooling runs with the norm after it, and is timed without.
        """
        return next((f for f in fusions if self.undone.isdisjoint(f.names)), None)

    def fused(self, parts: TracedChain, normed: int | None) -> list[Work]:
        """Layers that run as one; of a join, the norm at the end of that branch is one of them."""
        first, *others = parts
        layers: list[Step | Parallel] = [p.step for p in others if isinstance(p, TracedStep)]
        if isinstance(first, TracedStep):
            return [self._piece((first.step, *layers), first.input, fused=True)]
        assert normed is not None
        norm = first.branches[normed][-1]
        assert isinstance(norm, TracedStep)
        branches = [b[:-1] if place == normed else b for place, b in enumerate(first.branches)]
        join = replace(first.parallel, branches=((norm.step,), ()))
        norm_and_join = (join, *layers)
        return [*self._branches(branches), self._piece(norm_and_join, first.output, fused=True)]

    def _part(self, part: TracedStep | TracedParallel) -> list[Work]:
        if isinstance(part, TracedStep):
            return self._step(part)
        join = Work((), part.parallel.join, part.output, part.output)
        return [*self._branches(part.branches), join]

    def _branches(self, branches: Iterable[TracedChain]) -> list[Work]:
        pieces, before, after = [], self.trained, False
        for branch in branches:
            self.trained = before
            pieces += self.chain(branch)
            after |= self.trained
        self.trained = after
        return pieces

    def _step(self, part: TracedStep) -> list[Work]:
        layer = part.step.layer
        if part.step.name in self.undone or isinstance(layer, Code):
            return []
        if layer == Activation("identity"):
            return []
        if part.partner is not None:
            return [self._piece((self.steps[part.partner], part.step), part.output)]
        if isinstance(layer, Reshape):  # a copy, as far as time goes, of whatever shape
            return [self._piece((replace(part.step, layer=Scale(1.0)),), part.input)]
        return [self._piece((part.step,), part.input)]

    def _piece(self, layers: Chain, volume: Volume, *, fused: bool = False) -> Work:
        piece = _piece(layers, volume, trained=self.trained, fused=fused)
        self.trained |= piece.weights > 0
        return piece


def _name(part: TracedStep | TracedParallel) -> str:
    return part.step.name if isinstance(part, TracedStep) else part.parallel.name


def alike(work: Work, batch: int) -> tuple[object, ...]:
    """Pieces for which this is equal take time at the same rate.

    They are layers of one kind; if they multiply, with about as many channels and about as wide a
    map; if not, with about as many values in all.
    """
    kind: object = work.join or tuple(_kind(part) for part in work.layers)
    if not work.multiply_adds:
        return kind, work.trained, _scale(4, work.values * batch)
    before = work.input.size if isinstance(work.layer, Full) else work.input.channels
    sizes = _scale(4, before), _scale(4, work.output.channels), _scale(2, work.input.width)
    return kind, work.trained, work.fused, *sizes


def _kind(part: Step | Parallel) -> object:
    match part:
        case Parallel():
            return part.join
        case Step(layer=Convolution() | TransposedConvolution() as layer):
            return replace(layer, channels=layer.groups)
        case Step(layer=Full()):
            return Full
    return part.layer


def _scale(base: int, count: int) -> int:
    """A logarithm in steps whose bounds are off the usual sizes: 28 and 32 are of one scale."""
    return int(math.log(max(count, 1), base) + 0.25)


def halved(work: Work, batch: int) -> tuple[Work, int] | None:
    """About half of a piece of work, or None where it cannot be cut any more.

    It is done for fewer images, then on a lower and a narrower map. A fully connected layer loses
    inputs first, since its time is mostly that of its weights.
    """
    height, width, channels = work.input.height, work.input.width, work.input.channels
    if isinstance(work.layer, Full) and work.input.size > FEW_INPUTS:
        return work.on(Volume(1, 1, work.input.size // 2, flat=True)), batch
    if batch > _fewest_images(work, batch):
        return work, max((batch + 1) // 2, _fewest_images(work, batch))
    if max(height, width) < 2 * SMALLEST_SIDE:
        return None
    low = height >= width
    small = height * width * batch < 2 * _fewest_pixels(work)
    if work.is_small_window and small:  # the half would be done by PyTorch
        return None
    half = Volume(height // 2, width, channels) if low else Volume(height, width // 2, channels)
    try:
        return work.on(half), batch
    except NetError:
        return None


def _fewest_images(work: Work, batch: int) -> int:
    """So many at least that PyTorch treats each of them as one of the batch."""
    layer = work.layer
    point = isinstance(layer, Convolution) and (layer.kernel, layer.stride) == ((1, 1), (1, 1))
    if point or work.trunk:
        return min(batch, FEWEST_TOGETHER)
    if work.is_small_window:
        return _images_of_small_windows(work, work.input, batch)
    return 1 if work.multiply_adds and work.input.size > FEW_VALUES else FEWEST_IMAGES


def smallest(work: Work, batch: int) -> tuple[Work, int]:
    """As little of a piece of work as there can be: what it costs before it does anything."""
    if isinstance(work.layer, Full):
        return work.on(Volume(1, 1, min(64, work.input.size), flat=True)), batch
    if work.input.flat:
        return work, min(FEWEST_IMAGES, batch)
    if work.is_small_window:
        return _least_of_small_windows(work, batch)
    for side in (2, 3, 4, 5, 7, 8, 11, 16, 32):
        low, narrow = min(side, work.input.height), min(side, work.input.width)
        try:
            return work.on(Volume(low, narrow, work.input.channels)), min(FEWEST_IMAGES, batch)
        except NetError:
            continue
    return work, batch


def _least_of_small_windows(work: Work, batch: int) -> tuple[Work, int]:
    """With no fewer pixels than minimal filtering takes; the whole, where that has fewer."""
    for side in (8, 16, 32):
        least = Volume(
            min(side, work.input.height), min(side, work.input.width), work.input.channels
        )
        images = _images_of_small_windows(work, least, batch)
        if images * least.height * least.width >= _fewest_pixels(work):
            return work.on(least), images
    return work, batch


def _images_of_small_windows(work: Work, volume: Volume, batch: int) -> int:
    return min(batch, -(-_fewest_pixels(work) // (volume.height * volume.width)))


def _fewest_pixels(work: Work) -> int:
    return fewest_pixels(work.input.channels, work.output.channels)


def _steps(chain: TracedChain) -> Iterator[TracedStep]:
    for part in chain:
        if isinstance(part, TracedStep):
            yield part
        else:
            for branch in part.branches:
                yield from _steps(branch)
