"""The table of the net's layers."""

from __future__ import annotations

from dataclasses import dataclass

from striate.nets import Summary
from striate.report.wording import by, count, shortened

MOST_ROWS = 300


@dataclass(frozen=True)
class LayerRow:
    """A layer as text; `share` is its part of the multiply-adds, from 0 to 100."""

    text: str
    output: str
    parameters: str
    multiply_adds: str
    field: str
    share: float


@dataclass(frozen=True)
class LayerTable:
    """The layers, as many as a page can carry, and the totals of all."""

    rows: tuple[LayerRow, ...]
    total: int
    parameters: str
    multiply_adds: str
    warnings: tuple[str, ...]


def layer_table(summary: Summary) -> LayerTable:
    """Lay out a net's summary."""
    work = max(1, summary.multiply_adds)
    rows = tuple(
        LayerRow(
            text=shortened(layer.text, 60),
            output=by(layer.output),
            parameters=count(layer.parameters) if layer.parameters else "",
            multiply_adds=count(layer.multiply_adds) if layer.multiply_adds else "",
            field=by(layer.receptive_field),
            share=round(100 * layer.multiply_adds / work, 2),
        )
        for layer in summary.layers[:MOST_ROWS]
    )
    return LayerTable(
        rows=rows,
        total=len(summary.layers),
        parameters=count(summary.parameters),
        multiply_adds=count(summary.multiply_adds),
        warnings=tuple(summary.warnings),
    )
