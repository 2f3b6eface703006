"""The syntax tree to the graph: repeats and definitions written out, biases decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from striate.nets.forms import word_kind
from striate.nets.graph import (
    MOST_LAYERS,
    BatchNorm,
    Chain,
    Convolution,
    Parallel,
    Step,
    TransposedConvolution,
)
from striate.nets.source import LocatedNetError, Place
from striate.nets.syntax import Branches, Definition, Item, Repeat, Sequence, Text, Use, Word
from striate.nets.words import fill_in, parse_word

DEEPEST_USE = 32  # definitions within definitions
DEEPEST = 64  # brackets and definitions within each other

Values = Mapping[str, int]


def expand(text: Text, source: str) -> Chain:
    """The graph of a net text.

    Raises:
        LocatedNetError: For a recursion, wrong arguments, or more than 10,000 layers in all.
    """
    return _Expander(text, source).chain(text.body, {}, ())


class _Expander:
    def __init__(self, text: Text, source: str) -> None:
        self.definitions = {definition.name: definition for definition in text.definitions}
        self.source = source
        self.counts: Counter[str] = Counter()
        self.layers = 0
        self.depth = 0

    def chain(self, sequence: Sequence, values: Values, uses: tuple[Use, ...]) -> Chain:
        return _decide_biases(self._flat(sequence, values, uses))

    def _flat(
        self, sequence: Sequence, values: Values, uses: tuple[Use, ...]
    ) -> list[Step | Parallel]:
        parts: list[Step | Parallel] = []
        self.depth += 1
        for item in sequence:
            if self.depth > DEEPEST:
                message = f"more than {DEEPEST} brackets and definitions within each other"
                raise self.fail(message, item.place, uses, "write the inner ones out")
            parts.extend(self._item(item, values, uses))
        self.depth -= 1
        return parts

    def _item(self, item: Item, values: Values, uses: tuple[Use, ...]) -> list[Step | Parallel]:
        match item:
            case Word():
                return [self._step(item, values, uses)]
            case Use():
                return self._use(item, values, uses)
            case Repeat():
                return self._repeat(item, values, uses)
            case Branches():
                return [self._parallel(item, values, uses)]

    def fail(
        self, message: str, place: Place, uses: tuple[Use, ...] = (), hint: str | None = None
    ) -> LocatedNetError:
        used = "" if not uses else f" (in {_signature(uses[0])})"
        return LocatedNetError(message + used, source=self.source, place=place, hint=hint)

    def _step(self, word: Word, values: Values, uses: tuple[Use, ...]) -> Step:
        self._count_layer(word.place, uses)
        text = fill_in(word.text, values)
        used = _signature(uses[0]) if uses else None
        return Step(self._name(word_kind(text)), parse_word(text), text, word.place, used)

    def _count_layer(self, place: Place, uses: tuple[Use, ...]) -> None:
        self.layers += 1
        if self.layers > MOST_LAYERS:
            message = f"more than {MOST_LAYERS} layers, written out"
            raise self.fail(message, place, uses, "use fewer or smaller repeats")

    def _name(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}{self.counts[kind]}"

    def _parallel(self, item: Branches, values: Values, uses: tuple[Use, ...]) -> Parallel:
        self._count_layer(item.place, uses)
        join = "add" if item.join == "+" else "concat"
        branches = tuple(self.chain(branch, values, uses) for branch in item.branches)
        used = _signature(uses[0]) if uses else None
        return Parallel(self._name(join), join, branches, item.place, used)  # type: ignore[arg-type]

    def _repeat(self, item: Repeat, values: Values, uses: tuple[Use, ...]) -> list[Step | Parallel]:
        count = values[item.count] if item.count in values else int(item.count)
        if count > MOST_LAYERS:
            hint = f"it is a whole number from 1 to {MOST_LAYERS}"
            raise self.fail(f"a repeat cannot be {count}", item.place, uses, hint)
        return [part for _ in range(count) for part in self._flat(item.body, values, uses)]

    def _use(self, use: Use, values: Values, uses: tuple[Use, ...]) -> list[Step | Parallel]:
        definition = self.definitions[use.name]
        if any(outer.name == use.name for outer in uses):
            names = [outer.name for outer in uses]
            way = " -> ".join([*names[names.index(use.name) :], use.name])
            hint = f"{way} has no end; to repeat layers, write [ ... ]*3"
            raise self.fail(f"`{use.name}` is defined by itself", use.place, hint=hint)
        if len(uses) >= DEEPEST_USE:
            message = f"more than {DEEPEST_USE} definitions within each other"
            raise self.fail(message, use.place, hint="write the inner ones out")
        inner = self._arguments(use, definition, values)
        return self._flat(definition.body, inner, (*uses, use))

    def _arguments(self, use: Use, definition: Definition, values: Values) -> Values:
        if len(use.arguments) != len(definition.parameters):
            wanted, given = len(definition.parameters), len(use.arguments)
            many = "1 argument" if wanted == 1 else f"{wanted or 'no'} arguments"
            message = f"`{use.name}` takes {many}, not {given}"
            hint = f"it is defined as {_signature(definition)}"
            raise self.fail(message, use.place, hint=hint)
        numbers = (values[a] if a in values else int(a) for a in use.arguments)
        return dict(zip(definition.parameters, numbers, strict=True))


def _signature(use: Use | Definition) -> str:
    arguments = use.arguments if isinstance(use, Use) else use.parameters
    return f"{use.name}({', '.join(arguments)})" if arguments else use.name


def _decide_biases(parts: list[Step | Parallel]) -> Chain:
    """A convolution directly before batch normalisation needs no bias: the shift there is one."""
    followers = [*parts, None][1:]
    return tuple(_decided(part, after) for part, after in zip(parts, followers, strict=True))


def _decided(part: Step | Parallel, after: Step | Parallel | None) -> Step | Parallel:
    if not isinstance(part, Step):
        return part
    layer = part.layer
    if not isinstance(layer, Convolution | TransposedConvolution) or layer.bias is not None:
        return part
    normalised = isinstance(after, Step) and isinstance(after.layer, BatchNorm)
    return replace(part, layer=replace(layer, bias=not normalised))
