"""Which layer of a file goes to which layer of a net: by order, kinds and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.data import escape_name
from striate.errors import ModelError
from striate.model.pretrained.convert import conversion
from striate.model.pretrained.layers import COUNTER, NetLayer, StoredLayer
from striate.model.pretrained.order import Position, arrange, begin

MOST_WORK = 500_000  # tries; a net of 500 layers that fits takes about 2,000

Pair = tuple[NetLayer, StoredLayer]


@dataclass
class _Deepest:
    """The first layer of the net that nothing fits, in the try that came furthest.

    `position` is that layer's number, `tried` are the layers of the file that could stand there.
    """

    position: int = -1
    tried: list[StoredLayer] = field(default_factory=list)

    def note(self, position: int, layer: StoredLayer | None) -> None:
        if position > self.position:
            self.position, self.tried = position, []
        if position == self.position and layer is not None:
            self.tried.append(layer)


def match(net: Sequence[NetLayer], stored: Sequence[StoredLayer], path: Path) -> tuple[Pair, ...]:
    """Pair the layers of a net with those of a file.

    Where the file has the net's own names, as a model file of Striate has, these decide. Else an
    order of the file's layers is searched that its names allow (see `order`) and in which kinds and
    shapes are those of the net, one by one. The head may have another number of outputs, or be
    missing.

    Args:
        net: The net's layers, in order; the last is the head.
        stored: The file's layers, in any order.
        path: The file, for errors.

    Returns:
        Pairs in the order of the net, without the head where the file has none; the outputs of the
        heads may differ in number.

    Raises:
        ModelError: There is no such order; the message names the first mismatch.
    """
    by_name = {layer.name: layer for layer in stored}
    body = net[:-1]
    if body and all(layer.prefix in by_name for layer in body):
        ordered = _by_names(net, by_name, path)
    else:
        ordered = _by_search(net, begin(arrange(stored, path)), path)
    return tuple(zip(net, ordered, strict=False))


def _by_names(
    net: Sequence[NetLayer], by_name: Mapping[str, StoredLayer], path: Path
) -> list[StoredLayer]:
    ordered = []
    for layer in net:
        there = by_name.get(layer.prefix)
        if there is None:  # the head: `match` has seen that the others are there
            break
        if not _fits(layer, there):
            raise _mismatch(layer, there, path)
        ordered.append(there)
    known = {layer.prefix for layer in net}
    for name, there in by_name.items():
        if name not in known:
            raise _left_over(net[-1], there, path)
    return ordered


def _by_search(net: Sequence[NetLayer], start: Position, path: Path) -> list[StoredLayer]:
    """Depth first: at each layer of the net, each layer of the file that could be it."""
    deepest = _Deepest()
    chosen: list[StoredLayer] = []
    open_choices: list[Iterator[tuple[StoredLayer, Position]]] = [start.next_layers()]
    work = 0
    while open_choices and work < MOST_WORK:
        step = next(open_choices[-1], None)
        work += 1
        if step is None:
            open_choices.pop()
            if chosen:
                chosen.pop()
            continue
        layer, after = step
        place = len(chosen)
        if place == len(net) or not _fits(net[place], layer):
            deepest.note(place, layer)
            continue
        chosen.append(layer)
        if after.at_end:
            if len(chosen) >= len(net) - 1:
                return chosen
            deepest.note(len(chosen), None)
        work += len(after.placed)
        open_choices.append(after.next_layers())
    raise _no_order(net, deepest, path)


def _fits(wanted: NetLayer, there: StoredLayer) -> bool:
    """Whether a layer of the file can be that of the net: the same tensors, of shapes that fit."""
    return not any(_misfits(wanted, there))


def _misfits(wanted: NetLayer, there: StoredLayer) -> Iterator[str]:
    """The parts of a layer that are missing, too many, or of another shape."""
    for part, shape in there.tensors.items():
        if part not in wanted.tensors or conversion(wanted, part, shape) is None:
            yield part
    yield from (wanted.tensors.keys() - there.tensors.keys()) - {COUNTER}


def _no_order(net: Sequence[NetLayer], deepest: _Deepest, path: Path) -> ModelError:
    """The error of the deepest try."""
    place, tried = deepest.position, deepest.tried
    if place < 0:
        return ModelError("holds no layers", path=path)
    if place == len(net):
        return _left_over(net[-1], tried[0], path)
    wanted = net[place]
    if not tried:
        missing = f"and the net has {len(net)}; the first without weights is {wanted}"
        return ModelError(f"ends after {place} layers, {missing}", path=path)
    alike = [layer for layer in tried if _could_stand_for(wanted, layer)]
    return _mismatch(wanted, (alike or tried)[0], path)


def _could_stand_for(wanted: NetLayer, there: StoredLayer) -> bool:
    return there.kind == wanted.kind or (
        wanted.kind == "fully connected" and there.kind == "a convolution"
    )


def _mismatch(wanted: NetLayer, there: StoredLayer, path: Path) -> ModelError:
    """The first tensor of a layer that does not fit, and what the net takes."""
    net = f"the net's layer {wanted.place + 1} with weights, {wanted},"
    wrong = set(_misfits(wanted, there))
    part = next((p for p in ("weight", "bias", *there.tensors) if p in wrong), "") or min(wrong)
    name = escape_name(there.tensor_name(part))
    if part not in there.tensors:
        message = f"has no tensor {name!r}, and {net} takes one of {list(wanted.tensors[part])}"
    elif part not in wanted.tensors:
        message = f"has {name!r} {list(there.tensors[part])}, and {net} takes no {part}"
    else:
        found, expected = list(there.tensors[part]), list(wanted.tensors[part])
        message = f"{name!r} is {found} ({there.kind}), and {net} takes {expected} ({wanted.kind})"
    return ModelError(message, path=path)


def _left_over(last: NetLayer, there: StoredLayer, path: Path) -> ModelError:
    part = "weight" if "weight" in there.tensors else min(there.tensors)
    name, shape = escape_name(there.tensor_name(part)), list(there.tensors[part])
    return ModelError(
        f"has more layers than the net: {name!r} {shape} follows on the net's last one, {last}",
        path=path,
    )
