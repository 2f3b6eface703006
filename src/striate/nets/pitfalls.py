"""What is probably not meant in a net that fits: dead padding, a bottleneck, too narrow a view.

Each rule gives one text, or one for all layers that share it: the layer, its input and its name,
the figures, and how to mend it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from types import UnionType

from striate.nets.fields import Field
from striate.nets.graph import (
    Activation,
    Code,
    Convolution,
    Full,
    Pool,
    Volume,
    Whiten,
)
from striate.nets.printing import print_layer
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep, output_of
from striate.nets.windows import Axis, axes

NECK = 8  # times fewer values: the zoo's classifiers reach 7 at most, its autoencoders 26 at least
MOST_TAPS = 1_000  # of a window that is looked at: no real one has more

Part = TracedStep | TracedParallel


@dataclass(frozen=True)
class Pitfall:
    """One thing that is probably not meant, at one layer."""

    layer: str
    input: Volume
    name: str
    message: str


def find_pitfalls(
    traced: Traced, seen: dict[str, Field], *, object: int | None = None
) -> tuple[str, ...]:
    """What is probably not meant, as texts.

    Args:
        traced: The net on its input.
        seen: The receptive field after each layer, by name.
        object: Pixels that the smaller side of what is to be recognised has; by default half of the
            image's smaller side.
    """
    pitfalls = [*_dead_padding(traced.chain), *_necks(traced), *_narrow(traced, seen, object)]
    texts: dict[tuple[str, Volume, str], list[str]] = {}
    for pitfall in pitfalls:
        key = (pitfall.layer, pitfall.input, pitfall.message)
        texts.setdefault(key, []).append(pitfall.name)
    return tuple(
        f"{layer} on {volume} ({_listed(names)}): {message}"
        for (layer, volume, message), names in texts.items()
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _at(part: Part, message: str) -> Pitfall:
    if isinstance(part, TracedParallel):
        return Pitfall(part.parallel.join, part.input, part.parallel.name, message)
    return Pitfall(part.step.text, part.input, part.step.name, message)


def _dead_padding(chain: TracedChain) -> Iterator[Pitfall]:
    """Windows and weights that only ever see zeros, in any layer."""
    for part in chain:
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from _dead_padding(branch)
        elif isinstance(layer := part.step.layer, Convolution | Pool):
            rows, columns = (_Touch.of(axis, ceil=layer.ceil) for axis in axes(layer, part.input))
            if rows is None or columns is None:
                continue
            message = _dead_windows(rows, columns)
            if not message and isinstance(layer, Convolution) and layer.shared:
                message = _dead_weights(part, layer, rows, columns)
            if message:
                yield _at(part, message)


@dataclass(frozen=True)
class _Touch:
    """How the windows along one axis meet the input.

    Attributes:
        windows: How many there are.
        live: How many of them see at least one row of the input.
        taps: The window's positions that see the input in at least one window.
        kernel: All positions of the window.
    """

    windows: int
    live: int
    taps: list[int]
    kernel: int

    @classmethod
    def of(cls, axis: Axis, *, ceil: bool) -> _Touch | None:
        """None if the window is too large to look at."""
        if axis.kernel > MOST_TAPS:
            return None
        windows = axis.outputs(ceil=ceil)
        met: list[tuple[int, int, int]] = []  # first and last window that sees the input, tap
        for tap in range(axis.kernel):
            shift = axis.padding - axis.dilation * tap
            first, last = -(-shift // axis.stride), (shift + axis.size - 1) // axis.stride
            if (first := max(0, first)) <= (last := min(windows - 1, last)):
                met.append((first, last, tap))
        live, end = 0, -1
        for first, last, _ in sorted(met):
            live += max(0, last - max(first - 1, end))
            end = max(end, last)
        return cls(windows, live, [tap for _, _, tap in met], axis.kernel)


def _dead_windows(rows: _Touch, columns: _Touch) -> str:
    windows = rows.windows * columns.windows
    dead = windows - rows.live * columns.live
    if not dead:
        return ""
    return (
        f"{dead:,} of its {windows:,} windows see nothing but padding, and give the same for every "
        "image; with a padding smaller than the window each sees some of it"
    )


def _dead_weights(part: TracedStep, layer: Convolution, rows: _Touch, columns: _Touch) -> str:
    total = rows.kernel * columns.kernel
    dead = total - len(rows.taps) * len(columns.taps)
    if not dead:
        return ""
    smaller = _trimmed(part, layer, rows, columns)
    alike = f"; {smaller} gives the same without them" if smaller else ""
    return (
        f"{dead} of the {total} weights of its window only ever see padding; larger images, or a "
        f"pooling or stride less before it, would use them{alike}"
    )


def _trimmed(part: TracedStep, layer: Convolution, rows: _Touch, columns: _Touch) -> str | None:
    """The word of the convolution without its dead weights, if it has the same output size."""
    (height, top), (width, left) = (
        (touch.taps[-1] - touch.taps[0] + 1, padding - dilation * touch.taps[0])
        for touch, padding, dilation in zip(
            (rows, columns), layer.padding, layer.dilation, strict=True
        )
    )
    if top < 0 or left < 0:
        return None
    bias = layer.bias if "b" in part.step.text else None  # as it was written
    smaller = replace(layer, kernel=(height, width), padding=(top, left), bias=bias)
    same = output_of(smaller, part.input) == part.output
    return print_layer(smaller) if same else None


def _necks(traced: Traced) -> Iterator[Pitfall]:
    """Places through which all must pass, with far fewer values than before and after.

    Inception-v3 (Szegedy et al. 2015, arXiv:1512.00567, section 2) gives the principle, without a
    figure: at no cut between input and output should the representation be much smaller than what
    it is made from and what is made from it. What is meant to be narrow is marked by `code`.
    """
    sizes = [traced.input.size, *(part.output.size for part in traced.chain)]
    before = list(accumulate(sizes, max))
    after = list(accumulate(reversed(sizes), max))[::-1]
    cuts = [
        (part, sizes[i + 1], before[i], after[i + 2]) for i, part in enumerate(traced.chain[:-1])
    ]
    for narrow, run in groupby(cuts, key=lambda cut: NECK * cut[1] < min(cut[2], cut[3])):
        found = list(run)
        meant = any(_is(part, Code) for part, *_ in found)
        if narrow and not meant:
            yield _neck(*min(found, key=lambda cut: cut[1]))


def _neck(part: Part, size: int, before: int, after: int) -> Pitfall:
    output = part.output
    needed = -(-min(before, after) // NECK // (output.height * output.width))
    width = "values" if output.height * output.width == 1 else "channels"
    return _at(
        part,
        f"a bottleneck: all that follows is made from {size:,} values, with {before:,} before it "
        f"and {after:,} after; give it {needed:,} {width} or more, or a skip around it, or put "
        "`code` after it if it is meant",
    )


def _narrow(traced: Traced, seen: dict[str, Field], object: int | None) -> Iterator[Pitfall]:
    """A head whose evidence is smaller than the object.

    What a net sees at once is what its last values see before all positions are brought together by
    an average, a maximum or a linear layer: those only add up the evidence of parts. A fully
    connected layer with another after its activation sees the whole image. The theoretical field
    bounds what is seen; the effective one is smaller (Luo et al. 2016, arXiv:1701.04128).
    """
    at = _gathering(traced)
    if at is None or not any(_has_window(part) for part in traced.chain[:at]):
        return
    image = min(traced.input.height, traced.input.width)
    needed = max(1, image // 2) if object is None else object
    last = traced.chain[at - 1]
    field = seen[last.parallel.name if isinstance(last, TracedParallel) else last.step.name]
    height, width = field.pixels
    if min(height, width) >= needed:
        return
    count = max(
        math.ceil((needed - pixels) / (2 * max(1, stride)))
        for pixels, stride in zip(field.pixels, field.stride, strict=True)
    )
    more = f"{count} more 3x3 convolution{'s' if count > 1 else ''}"
    half = " (half of the image's smaller side; `object` says otherwise)" if object is None else ""
    yield _at(
        traced.chain[at],
        f"what it brings together sees {height}x{width} pixels, too few for an object of "
        f"{needed}x{needed}{half}; {more} before it, or a stride or pooling further in front, "
        "would see one",
    )


def _gathering(traced: Traced) -> int | None:
    """The place in the chain where positions become one, unless a hidden layer sees them all."""
    many = [i for i, part in enumerate(traced.chain) if _positions(part.input) > 1]
    if not many or _positions(traced.output) > 1:
        return None
    at = many[-1]
    rest = [part.step.layer for part in traced.chain[at + 1 :] if isinstance(part, TracedStep)]
    bent = [i for i, layer in enumerate(rest) if isinstance(layer, Activation)]
    weighed = [i for i, layer in enumerate(rest) if isinstance(layer, Full | Convolution)]
    hidden = bool(bent and weighed) and bent[0] < weighed[-1]
    return None if hidden and _is(traced.chain[at], Full | Convolution) else at


def _positions(volume: Volume) -> int:
    return volume.height * volume.width


def _is(part: Part, kind: type | UnionType) -> bool:
    return isinstance(part, TracedStep) and isinstance(part.step.layer, kind)


def _has_window(part: Part) -> bool:
    if isinstance(part, TracedParallel):
        return any(_has_window(inner) for branch in part.branches for inner in branch)
    return isinstance(part.step.layer, Convolution | Pool | Whiten)
