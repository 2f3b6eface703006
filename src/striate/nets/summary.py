"""The table of a net: volume, parameters, multiply-adds, memory, receptive field of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from striate.nets.costs import Comparison, compare, multiply_adds, parameters
from striate.nets.fields import Field, fields
from striate.nets.footprint import FLOAT_BYTES
from striate.nets.memory import training_bytes
from striate.nets.pitfalls import find_pitfalls
from striate.nets.shapes import Traced, TracedChain, TracedParallel


@dataclass(frozen=True)
class LayerRow:
    """One layer, or one join of branches.

    Attributes:
        name: Its name in the module and in `NetModule.stages`.
        text: Its word; "add" or "concat" for a join.
        output: H, W, C after it; 1, 1, K after a fully connected layer.
        parameters: Numbers that training moves.
        multiply_adds: Of one image forward.
        activation_bytes: Of the output of one image, in fp32.
        receptive_field: Height and width in pixels of the image; in theory, so padding counts.
        stride: Pixels between the fields of neighbours; 0 where there are no neighbours.
        nesting: How many branches it stands within.
        comparison: Of a convolution or locally connected layer, if it was asked for.
    """

    name: str
    text: str
    output: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: tuple[int, int]
    stride: tuple[float, float]
    nesting: int = 0
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """The layer in the document of `show`; with `compare_fc` if that was asked for."""
        document: dict[str, Any] = {
            "name": self.name,
            "text": self.text,
            "output": list(self.output),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "receptive_field": list(self.receptive_field),
            "receptive_field_stride": [_short(stride) for stride in self.stride],
        }
        if self.comparison is not None:
            document["compare_fc"] = self.comparison.to_json()
        return document


@dataclass(frozen=True)
class Summary:
    """A net on an input volume, layer by layer and in all.

    Attributes:
        net: The canonical text.
        input: H, W, C.
        layers: One row a layer, in the order of the text.
        depth: Layers with weights on the longest way through.
        parameters: Numbers that training moves.
        multiply_adds: Of one image forward.
        activation_bytes: Of all layers' outputs for one image, in fp32.
        warnings: What is probably not meant.
        batch: Images in the training step that `memory_bytes` is about.
        memory_bytes: Predicted peak of a training step in fp32 with a momentum optimiser.
    """

    net: str
    input: tuple[int, int, int]
    layers: tuple[LayerRow, ...]
    depth: int
    parameters: int
    multiply_adds: int
    activation_bytes: int
    warnings: tuple[str, ...]
    batch: int
    memory_bytes: int

    def __str__(self) -> str:
        """A table in plain text: a row a layer, then the totals."""
        rows = [
            ("  " * row.nesting + row.text, "x".join(map(str, row.output)), f"{row.parameters:,}",
             f"{row.multiply_adds:,}", "x".join(map(str, row.receptive_field)))
            for row in self.layers
        ]  # fmt: skip
        heads = ("layer", "output", "parameters", "multiply-adds", "sees")
        totals = ("total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", "")
        table = [heads, *rows, totals]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in table
        )

    def to_json(self, seconds: float | None = None) -> dict[str, Any]:
        """The document of `show`; `seconds` is the predicted time of a step, if it is known."""
        return {
            "net": self.net,
            "input": list(self.input),
            "layers": [row.to_json() for row in self.layers],
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "warnings": list(self.warnings),
            "training_step": {
                "batch": self.batch,
                "memory_bytes": self.memory_bytes,
                "seconds": seconds,
            },
        }


def summarize(
    net: str,
    traced: Traced,
    *,
    batch: int = 1,
    compare_fc: bool = False,
    object: int | None = None,
) -> Summary:
    """The table of a net whose canonical text is `net`; the options are those of `Net.summary`."""
    seen = fields(traced)
    rows = tuple(_rows(traced.chain, seen, 0, compare_fc=compare_fc))
    volume = traced.input
    return Summary(
        net=net,
        input=(volume.height, volume.width, volume.channels),
        layers=rows,
        depth=traced.depth,
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        warnings=(*traced.warnings, *find_pitfalls(traced, seen, object=object)),
        batch=batch,
        memory_bytes=training_bytes(traced, batch),
    )


def _rows(
    chain: TracedChain, seen: dict[str, Field], nesting: int, *, compare_fc: bool
) -> Iterator[LayerRow]:
    for part in chain:
        if isinstance(part, TracedParallel):
            for branch in part.branches:
                yield from _rows(branch, seen, nesting + 1, compare_fc=compare_fc)
            yield _join_row(part, seen[part.parallel.name], nesting)
            continue
        layer, before, after = part.step.layer, part.input, part.output
        field = seen[part.step.name]
        yield LayerRow(
            name=part.step.name,
            text=part.step.text,
            output=(after.height, after.width, after.channels),
            parameters=parameters(layer, before, after),
            multiply_adds=multiply_adds(layer, before, after),
            activation_bytes=FLOAT_BYTES * after.size,
            receptive_field=field.pixels,
            stride=field.stride,
            nesting=nesting,
            comparison=compare(layer, before, after) if compare_fc else None,
        )


def _join_row(part: TracedParallel, field: Field, nesting: int) -> LayerRow:
    after = part.output
    return LayerRow(
        name=part.parallel.name,
        text=part.parallel.join,
        output=(after.height, after.width, after.channels),
        parameters=0,
        multiply_adds=0,
        activation_bytes=FLOAT_BYTES * after.size,
        receptive_field=field.pixels,
        stride=field.stride,
        nesting=nesting,
    )


def _short(number: float) -> float:
    """A whole number as an int: it is written without a point."""
    return int(number) if number.is_integer() else number
