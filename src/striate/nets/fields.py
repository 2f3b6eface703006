"""Receptive fields: from which rows and columns of the image a value is made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from striate.nets.graph import (
    Convolution,
    Full,
    GlobalAverage,
    Layer,
    Pool,
    Reshape,
    TransposedConvolution,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.shapes import Traced, TracedChain, TracedParallel

Span = tuple[float, float]  # first and last pixel

FARTHEST = 2**53  # pixels: strides multiply, so a hostile text could ask for any number of digits
MOST_STEPS = 2048  # to find the spans after one layer; beyond, one span that holds each of them


@dataclass(frozen=True)
class Sight:
    """What every position of a map sees along one axis, in pixels of the image.

    Position `q*len(spans) + r` sees `spans[r]`, moved on by `q*advance`. One span is enough until a
    layer enlarges the map: then neighbours may see the same pixels, or none, and there are as many
    spans as it takes until they repeat. Pixels are counted in theory, beyond the borders too.
    """

    spans: tuple[Span | None, ...] = ((0, 0),)
    advance: float = 1

    @property
    def width(self) -> int:
        """Pixels that the position which sees most can see."""
        widths = (last - first + 1 for first, last in filter(None, self.spans))
        return math.ceil(max(widths, default=0) - 1e-9)

    @property
    def stride(self) -> float:
        """Pixels from a position to the next, on average; 0 where there is only one position."""
        return self.advance / len(self.spans)

    def at(self, position: int) -> Span | None:
        """First and last pixel that a position sees; None if it sees none."""
        turns, phase = divmod(position, len(self.spans))
        span = self.spans[phase]
        moved = turns * self.advance
        return None if span is None else (span[0] + moved, span[1] + moved)

    def slid(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Sight:
        """After a window that slides over the map."""
        period = len(self.spans)
        phases = period // math.gcd(period, stride)
        taps = [dilation * tap for tap in _ends(kernel, period)]
        if period > 1 and phases * len(taps) > MOST_STEPS:
            return Sight((self._even(),), self.stride).slid(kernel, stride, padding, dilation)
        starts = (stride * phase - padding for phase in range(phases))
        spans = tuple(_hull(self.at(start + tap) for tap in taps) for start in starts)
        return Sight(spans, self.advance * (stride * phases // period))

    def spread(self, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> Sight:
        """After the reverse: what a position sees goes to all that a window at it would take."""
        phases = stride * len(self.spans)
        taps = [dilation * tap - padding for tap in _ends(kernel, phases)]
        if phases * len(taps) > MOST_STEPS:
            (first, last), step = self._even(), self.stride / stride
            return Sight(((first - taps[-1] * step, last - taps[0] * step),), step)
        spans = []
        for phase in range(phases):
            ways = (divmod(phase - tap, stride) for tap in taps)
            spans.append(_hull(self.at(source) for source, rest in ways if not rest))
        return Sight(tuple(spans), self.advance)

    def _even(self) -> Span:
        """One span that, moved on evenly, holds each of theirs."""
        seen = [(phase * self.stride, span) for phase, span in enumerate(self.spans) if span]
        return min(s[0] - moved for moved, s in seen), max(s[1] - moved for moved, s in seen)

    def whole(self, size: int) -> Sight:
        """Of a value that is made from all positions of a map of this size."""
        return Sight((_hull(map(self.at, _ends(size, len(self.spans)))),), 0)

    def joined(self, other: Sight) -> Sight:
        """Of the sum or the concatenation of two maps."""
        one, two = self, other
        phases = math.lcm(len(one.spans), len(two.spans))
        if one.stride != two.stride or phases > MOST_STEPS:
            one, two = (Sight((side._even(),), side.stride) for side in (one, two))
            phases = 1
        spans = tuple(_hull((one.at(phase), two.at(phase))) for phase in range(phases))
        return Sight(spans, max(one.stride, two.stride) * phases)


def _hull(spans: Iterable[Span | None]) -> Span | None:
    seen = [span for span in spans if span is not None]
    return (min(first for first, _ in seen), max(last for _, last in seen)) if seen else None


def _ends(count: int, period: int) -> Iterable[int]:
    """Of 0 to count - 1, those among which the first and the last pixel are sure to be seen."""
    return range(count) if count <= 2 * period else (*range(period), *range(count - period, count))


@dataclass(frozen=True)
class Field:
    """The receptive field of the values after a layer; in theory, so it may exceed the image."""

    rows: Sight = Sight()
    columns: Sight = Sight()

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of what the position that sees most can see."""
        return self.rows.width, self.columns.width

    @property
    def stride(self) -> tuple[float, float]:
        """Pixels down and across from one value to the next; 0 where there is only one."""
        return self.rows.stride, self.columns.stride


def fields(traced: Traced) -> dict[str, Field]:
    """The receptive field after each layer and each join of branches, by its name."""
    found: dict[str, Field] = {}
    _follow(traced.chain, Field(), {}, found)
    return found


def _follow(
    chain: TracedChain, field: Field, pools: dict[str, Pool], found: dict[str, Field]
) -> Field:
    for part in chain:
        if isinstance(part, TracedParallel):
            ends = [_follow(branch, field, pools, found) for branch in part.branches]
            field = ends[0]
            for end in ends[1:]:
                field = Field(field.rows.joined(end.rows), field.columns.joined(end.columns))
            found[part.parallel.name] = field
            continue
        layer = part.step.layer
        if isinstance(layer, Pool):
            pools[part.step.name] = layer
        undone = pools[part.partner] if part.partner else None
        field = _after(field, undone or layer, part.input, reverse=undone is not None)
        found[part.step.name] = field
    return field


def _after(field: Field, layer: Layer, before: Volume, *, reverse: bool) -> Field:
    """The field after a layer; `reverse` if it is the pooling that an `unpool` undoes."""
    rows = _along(field.rows, 0, layer, before.height, reverse=reverse)
    return Field(rows, _along(field.columns, 1, layer, before.width, reverse=reverse))


def _along(sight: Sight, axis: int, layer: Layer, size: int, *, reverse: bool) -> Sight:
    match layer:
        case Pool(kernel=kernel, stride=stride, padding=padding):
            window = (kernel[axis], stride[axis], padding[axis])
            after = sight.spread(*window) if reverse else sight.slid(*window)
        case Convolution(kernel=kernel, stride=stride, padding=padding, dilation=dilation):
            after = sight.slid(kernel[axis], stride[axis], padding[axis], dilation[axis])
        case TransposedConvolution(
            kernel=kernel, stride=stride, padding=padding, dilation=dilation
        ):
            after = sight.spread(kernel[axis], stride[axis], padding[axis], dilation[axis])
        case Whiten(kernel=kernel):
            after = sight.slid(kernel[axis])
        case Upsample(kind=kind, factor=factor):
            after = sight.spread(factor[axis] if kind == "nearest" else 1, factor[axis])
        case GlobalAverage() | Full() | Reshape():
            after = sight.whole(size)
        case _:
            after = sight
    return _bounded(after)


def _bounded(sight: Sight) -> Sight:
    ends = [abs(end) for span in sight.spans if span for end in span]
    if max([sight.advance, *ends]) <= FARTHEST:
        return sight
    return Sight(((-FARTHEST, FARTHEST),), FARTHEST)
