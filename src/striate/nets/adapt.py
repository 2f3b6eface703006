"""A net for smaller images than it was written for: its stem, its poolings and its head."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from striate.errors import NetError
from striate.nets.expand import expand
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Chain,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    Layer,
    LayerNorm,
    Pool,
    ResponseNorm,
    Scale,
    Volume,
    steps,
)
from striate.nets.printing import print_layer
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep, trace
from striate.nets.syntax import Item, Repeat, Sequence, Text, Word
from striate.nets.words import parse_word

SMALL_SIDE = 64  # pixels: a stem that shrinks photographs has no place at or below this

_POINTWISE = (Activation, BatchNorm, Code, Dropout, LayerNorm, ResponseNorm, Scale)


def adapted_to(text: Text, volume: Volume) -> Text:
    """The text for images of `volume`, by the rule that `Net.adapted_to` states."""
    new = replace(text, input=(volume.height, volume.width, volume.channels))
    own = max(text.input[:2]) if text.input else 0
    side = max(volume.height, volume.width)
    if own <= SMALL_SIDE or side >= own:
        return new
    stems = _small_stems(new) if side <= SMALL_SIDE else [new]
    candidates = [_without_lost_poolings(stem, volume) for stem in stems]
    wanted = _head_side(text, Volume(*(text.input or ())))
    best = min(candidates, key=lambda one: _distance(_head_side(one, volume), wanted))
    return _with_narrower_head(best, volume)


def _small_stems(text: Text) -> list[Text]:
    """The text with a small first convolution, without and with the pooling right after it."""
    first = _next_compound(text.body, 0)
    layer = _layer(text.body[first]) if first is not None else None
    if first is None or not isinstance(layer, Convolution) or layer.stride == (1, 1):
        return [text]
    small = replace(layer, kernel=(3, 3), stride=(1, 1), padding=(1, 1))
    body = _replaced(text.body, first, small)
    pool = _next_compound(body, first + 1)
    kept = replace(text, body=body)
    if pool is None or not isinstance(_layer(body[pool]), Pool):
        return [kept]
    return [replace(text, body=body[:pool] + body[pool + 1 :]), kept]


def _next_compound(body: Sequence, start: int) -> int | None:
    """The next item that is not a layer of single values, such as an activation."""
    rest = range(start, len(body))
    return next((i for i in rest if not isinstance(_layer(body[i]), _POINTWISE)), None)


def _without_lost_poolings(text: Text, volume: Volume) -> Text:
    """The text without the poolings that do not fit, or that leave one value to convolutions."""
    items = list(_written_out(text.body))
    chains = [expand(replace(text, body=(item,)), "") for item in items]
    last = max((i for i, chain in enumerate(chains) if _convolves(chain)), default=-1)
    kept: list[Item] = []
    try:
        for i, (item, chain) in enumerate(zip(items, chains, strict=True)):
            if isinstance(_layer(item), Pool) and _is_lost(chain, volume, i < last):
                continue
            kept.append(item)
            volume = trace(chain, volume, "").output
    except NetError:
        return text
    return text if len(kept) == len(items) else replace(text, body=tuple(kept))


def _is_lost(pooling: Chain, volume: Volume, before_convolutions: bool) -> bool:
    try:
        after = trace(pooling, volume, "").output
    except NetError:
        return True
    return before_convolutions and min(after.height, after.width) == 1


def _written_out(body: Sequence) -> Iterator[Item]:
    """The items with the repeats that hold poolings written out: each copy may lose its own."""
    for item in body:
        if isinstance(item, Repeat) and _holds_pooling(item.body):
            for _ in range(int(item.count)):
                yield from _written_out(item.body)
        else:
            yield item


def _holds_pooling(body: Sequence) -> bool:
    return any(
        _holds_pooling(item.body) if isinstance(item, Repeat) else isinstance(_layer(item), Pool)
        for item in body
    )


def _convolves(chain: Chain) -> bool:
    layers = (step.layer for step in steps(chain))
    return any(isinstance(layer, Convolution) and max(layer.kernel) > 1 for layer in layers)


def _head_side(text: Text, volume: Volume) -> float:
    """The shorter side of the map that the first fully connected layer or `gap` takes."""
    try:
        traced = trace(expand(text, ""), volume, "")
    except NetError:
        return math.inf
    head = next(_heads(traced.chain), None)
    end = traced.output if head is None else head.input
    return min(end.height, end.width)


def _heads(chain: TracedChain) -> Iterator[TracedStep]:
    for part in chain:
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from _heads(branch)
        elif isinstance(part.step.layer, Full | GlobalAverage):
            yield part


def _distance(side: float, wanted: float) -> float:
    """How far two sides are apart, as a ratio; a net that does not fit is the farthest."""
    return abs(math.log(side / wanted)) if math.isfinite(max(side, wanted)) else math.inf


def _with_narrower_head(text: Text, volume: Volume) -> Text:
    """The text whose hidden fully connected layers are no wider than the values that come."""
    last = max((i for i, item in enumerate(text.body) if _is_full(item)), default=len(text.body))
    try:
        hidden, _ = _narrowed(text, text.body[:last], volume)
    except NetError:
        return text
    return replace(text, body=(*hidden, *text.body[last:]))


def _narrowed(text: Text, items: Sequence, volume: Volume) -> tuple[Sequence, Volume]:
    """The items with their fully connected layers narrowed, and the volume after them."""
    narrowed: list[Item] = []
    for item in items:
        narrowed.append(_narrower(text, item, volume))
        volume = trace(expand(replace(text, body=(narrowed[-1],)), ""), volume, "").output
    return tuple(narrowed), volume


def _narrower(text: Text, item: Item, volume: Volume) -> Item:
    if isinstance(item, Repeat):  # what narrows the first copy narrows all
        return replace(item, body=_narrowed(text, item.body, volume)[0])
    layer = _layer(item)
    if not isinstance(layer, Full) or layer.units <= volume.size:
        return item
    return Word(print_layer(replace(layer, units=volume.size)), item.place)


def _is_full(item: Item) -> bool:
    return isinstance(_layer(item), Full)


def _layer(item: Item) -> Layer | None:
    return parse_word(item.text) if isinstance(item, Word) else None


def _replaced(body: Sequence, i: int, layer: Layer) -> Sequence:
    return (*body[:i], Word(print_layer(layer), body[i].place), *body[i + 1 :])
