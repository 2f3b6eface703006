"""A small net with all its numbers, and how they are laid out on a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.explanation.matrices import matrix_lines
from striate.explanation.rules import number

Array = NDArray[np.float64]
Line = tuple[str, str, str]  # what it is, values, derivatives

LABELS = 12  # characters of the first column


@dataclass(frozen=True, eq=False)
class Seen:
    """An array of the net, and the derivative of the loss to each of its numbers.

    Attributes:
        name: "output", or which weight: "weight", "bias".
        value: float64, without the axis of the images.
        derivative: Of the same shape.
    """

    name: str
    value: Array
    derivative: Array


@dataclass(frozen=True, eq=False)
class LayerDerivation:
    """A layer, with its numbers.

    Attributes:
        name: "fc1"; "input" for the image.
        text: Its word in the net, "fc-2".
        rule: How the gradient goes through it.
        arrays: Its weights, and last its output.
    """

    name: str
    text: str
    rule: str
    arrays: tuple[Seen, ...]


@dataclass(frozen=True, eq=False)
class NetDerivation:
    """A net on one image, with all its values and the derivative of the loss to each of them.

    Print it to read it.

    Attributes:
        net: Its text.
        seed: Of the image and the weights.
        loss: What was differentiated, in words.
        value: Of the loss.
        layers: From the image to the end.
    """

    net: str
    seed: int
    loss: str
    value: float
    layers: tuple[LayerDerivation, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The document that `striate backprop --json` prints."""
        return {
            "net": self.net,
            "seed": self.seed,
            "loss": self.loss,
            "value": self.value,
            "layers": [
                {
                    "name": layer.name,
                    "text": layer.text,
                    "rule": layer.rule,
                    "arrays": {
                        seen.name: {
                            "value": seen.value.tolist(),
                            "derivative": seen.derivative.tolist(),
                        }
                        for seen in layer.arrays
                    },
                }
                for layer in self.layers
            ],
        }

    def __str__(self) -> str:
        """What `striate backprop` prints on a wide terminal."""
        return "\n".join("".join(line).rstrip() for line in self.page(width=120))

    def page(self, *, width: int) -> list[Line]:
        """Every layer in lines, the derivatives beside the values, or below where it is narrow."""
        arrays = [seen for layer in self.layers for seen in layer.arrays]
        wide = 2 + max(16, *(len(matrix_lines(seen.value)[0]) for seen in arrays))
        slopes = max(len(matrix_lines(seen.derivative)[0]) for seen in arrays)
        beside = LABELS + wide + slopes <= width
        lines = [_title(wide if beside else None)]
        for layer in self.layers:
            text = f"{layer.text:{wide}}" if beside else f"{layer.text}  "
            lines += [("", "", ""), (f"{layer.name:{LABELS}}", text, layer.rule)]
            for seen in layer.arrays:
                lines += _beside(seen, wide) if beside else _below(seen)
        return [*lines, ("", "", ""), ("", f"f = {self.loss} = {number(self.value)}", "")]


def _title(wide: int | None) -> Line:
    if wide is None:
        return f"{'':{LABELS}}", "value, read down; ", "under it df/d(value), read up"
    return f"{'':{LABELS}}", f"{'value, read down':{wide}}", "df/d(value), read up"


def _beside(seen: Seen, wide: int) -> Iterator[Line]:
    rows = zip(matrix_lines(seen.value), matrix_lines(seen.derivative), strict=True)
    for place, (value, slope) in enumerate(rows):
        label = "" if place else f"  {seen.name}"
        yield f"{label:{LABELS}}", f"{value:{wide}}", slope


def _below(seen: Seen) -> Iterator[Line]:
    for place, value in enumerate(matrix_lines(seen.value)):
        yield f"{'' if place else f'  {seen.name}':{LABELS}}", value, ""
    for place, slope in enumerate(matrix_lines(seen.derivative)):
        yield f"{'' if place else '  df/d':{LABELS}}", "", slope
