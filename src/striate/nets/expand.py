"""The syntax tree to the graph: repeats and definitions written out, biases decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from striate.nets.graph import (
    BatchNorm,
    Chain,
    Convolution,
    Parallel,
    Step,
    TransposedConvolution,
)
from striate.nets.source import LocatedNetError, Place
from striate.nets.syntax import Branches, Definition, Item, Repeat, Sequence, Text, Use, Word
from striate.nets.words import WordError, fill_in, parse_word, word_kind

MOST_LAYERS = 10_000  # of a whole net, written out
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
                raise self.fail(message, item.place, uses)
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
        self.layers += 1
        if self.layers > MOST_LAYERS:
            raise self.fail(f"more than {MOST_LAYERS} layers, written out", word.place, uses)
        text = fill_in(word.text, values)
        try:
            layer = parse_word(text)
        except WordError as error:
            raise self.fail(error.message, word.place, uses, error.hint) from None
        used = _signature(uses[0]) if uses else None
        return Step(self._name(word_kind(text)), layer, text, word.place, used)

    def _name(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}{self.counts[kind]}"

    def _parallel(self, item: Branches, values: Values, uses: tuple[Use, ...]) -> Parallel:
        self.layers += 1
        join = "add" if item.join == "+" else "concat"
        branches = tuple(self.chain(branch, values, uses) for branch in item.branches)
        used = _signature(uses[0]) if uses else None
        return Parallel(self._name(join), join, branches, item.place, used)  # type: ignore[arg-type]

    def _repeat(self, item: Repeat, values: Values, uses: tuple[Use, ...]) -> list[Step | Parallel]:
        count = values[item.count] if item.count in values else int(item.count)
        if not 0 < count <= MOST_LAYERS:
            raise self.fail(f"a repeat of {count}; from 1 to {MOST_LAYERS}", item.place, uses)
        return [part for _ in range(count) for part in self._flat(item.body, values, uses)]

    def _use(self, use: Use, values: Values, uses: tuple[Use, ...]) -> list[Step | Parallel]:
        definition = self.definitions[use.name]
        if any(outer.name == use.name for outer in uses):
            raise self.fail(f"`{use.name}` is defined by itself", use.place)
        if len(uses) >= DEEPEST_USE:
            raise self.fail(f"more than {DEEPEST_USE} definitions within each other", use.place)
        inner = self._arguments(use, definition, values)
        return self._flat(definition.body, inner, (*uses, use))

    def _arguments(self, use: Use, definition: Definition, values: Values) -> Values:
        if len(use.arguments) != len(definition.parameters):
            wanted = len(definition.parameters)
            message = f"`{use.name}` takes {wanted} arguments, not {len(use.arguments)}"
            hint = f"it is {_signature(definition)}"
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
