"""The table of a net: volume, parameters, multiply-adds, memory, receptive field of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.nets.costs import Field, multiply_adds, parameters, widen, widest
from striate.nets.graph import Pool, Step
from striate.nets.shapes import Traced, TracedChain, TracedParallel

FLOAT_BYTES = 4


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
        depth: How many branches it stands within.
    """

    name: str
    text: str
    output: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: tuple[int, int]
    stride: tuple[float, float]
    depth: int = 0

    def to_json(self) -> dict[str, Any]:
        """The layer in the document of `show`."""
        return {
            "name": self.name,
            "text": self.text,
            "output": list(self.output),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "receptive_field": list(self.receptive_field),
        }


@dataclass(frozen=True)
class Summary:
    """A net on an input volume, layer by layer and in all.

    Attributes:
        net: The canonical text.
        input: H, W, C.
        layers: One row a layer, in the order of the text.
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
    parameters: int
    multiply_adds: int
    activation_bytes: int
    warnings: tuple[str, ...]
    batch: int
    memory_bytes: int

    def step_seconds(self, multiply_adds_per_second: float, bytes_per_second: float) -> float:
        """The predicted time of a training step, from what the machine can do.

        Forward, gradient of the weights and gradient of the input are three passes over the same
        products. Each value between layers is written and read on both ways, four times in all.
        """
        products = 3 * self.multiply_adds * self.batch / multiply_adds_per_second
        traffic = 4 * self.activation_bytes * self.batch / bytes_per_second
        return products + traffic

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


def summarize(net: str, traced: Traced, *, batch: int = 1) -> Summary:
    """The table of a net whose canonical text is `net`, for training steps of `batch` images."""
    rows, _ = _rows(traced.chain, Field(), 0)
    volume = traced.input
    return Summary(
        net=net,
        input=(volume.height, volume.width, volume.channels),
        layers=tuple(rows),
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        warnings=traced.warnings,
        batch=batch,
        memory_bytes=_training_bytes(rows, traced, batch),
    )


def _rows(chain: TracedChain, field: Field, depth: int) -> tuple[list[LayerRow], Field]:
    rows: list[LayerRow] = []
    for part in chain:
        if isinstance(part, TracedParallel):
            sides = [_rows(branch, field, depth + 1) for branch in part.branches]
            rows.extend(row for side, _ in sides for row in side)
            field = widest([end for _, end in sides])
            rows.append(_join_row(part, field, depth))
            continue
        layer, before, after = part.step.layer, part.input, part.output
        field = widen(field, layer, before)
        rows.append(
            LayerRow(
                name=part.step.name,
                text=part.step.text,
                output=(after.height, after.width, after.channels),
                parameters=parameters(layer, before, after),
                multiply_adds=multiply_adds(layer, before, after),
                activation_bytes=FLOAT_BYTES * after.size,
                receptive_field=field.pixels,
                stride=field.stride,
                depth=depth,
            )
        )
    return rows, field


def _join_row(part: TracedParallel, field: Field, depth: int) -> LayerRow:
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
        depth=depth,
    )


def _training_bytes(rows: list[LayerRow], traced: Traced, batch: int) -> int:
    """Weights, gradients and one momentum; the input and every output, kept for the way back.

    Max pooling also keeps the position of each maximum (8 bytes), and at the widest place the
    gradients of a layer's output and input are both there.
    """
    weights = 3 * FLOAT_BYTES * sum(row.parameters for row in rows)
    kept = FLOAT_BYTES * traced.input.size + sum(row.activation_bytes for row in rows)
    positions = 8 * sum(_pooled(traced.chain))
    widest_layer = max((row.activation_bytes for row in rows), default=0)
    return weights + batch * (kept + positions + 2 * widest_layer)


def _pooled(chain: TracedChain) -> list[int]:
    """Values after each max pooling."""
    sizes: list[int] = []
    for part in chain:
        if isinstance(part, TracedParallel):
            sizes.extend(size for branch in part.branches for size in _pooled(branch))
        elif _is_max_pool(part.step):
            sizes.append(part.output.size)
    return sizes


def _is_max_pool(step: Step) -> bool:
    return isinstance(step.layer, Pool) and step.layer.kind == "max"
