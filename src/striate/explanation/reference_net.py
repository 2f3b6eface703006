"""A net of the notation as layers of the reference, whose every gradient can be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.nets.graph import (
    Activation,
    BatchNorm,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    LayerNorm,
    Pair,
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep
from striate.nets.windows import overhang, rounding
from striate.reference import Layer, operations, pooled, windowed
from striate.reference.operations import Operation
from striate.reference.windowed import Window

Array = NDArray[np.float64]
Shape = tuple[int, ...]

Weights = Callable[[str, Shape], Array]
"""From the name of a weight, such as "conv1.weight", and its shape, to its values."""


def reference_net(
    traced: Traced, weights: Weights, *, generator: np.random.Generator | None = None
) -> list[Layer]:
    """The layers of a net as it is while training, in topological order.

    A last layer "flatten" is added where the net ends in a single position.

    Args:
        traced: The net on its input volume.
        weights: Gives every weight, asked in the order of the layers. Names and shapes are those of
            the module that PyTorch builds; only those of locally connected layers are
            (K, C/G, Fh, Fw, Ho, Wo), with biases (K, Ho, Wo).
        generator: Draws what dropout keeps, alike for all images; without it, all is kept.

    Returns:
        Layers for `striate.reference.forward`, which take images (N, C, H, W).
    """
    translator = _Translator(weights, generator)
    end = translator.chain(traced.chain, "input")
    if not traced.output.flat and (traced.output.height, traced.output.width) == (1, 1):
        flat = operations.reshape((traced.output.channels,))
        translator.layers.append(Layer("flatten", flat, (end,)))
    return translator.layers


@dataclass
class _Translator:
    weights: Weights
    generator: np.random.Generator | None
    layers: list[Layer] = field(default_factory=list)
    pools: dict[str, tuple[Pool, str]] = field(default_factory=dict)  # each, and what it takes

    def chain(self, chain: TracedChain, source: str) -> str:
        """Append layers that start from `source`; the name of the last."""
        for part in chain:
            if isinstance(part, TracedParallel):
                source = self._branches(part, source)
            else:
                source = self._step(part, source)
        return source

    def _branches(self, part: TracedParallel, source: str) -> str:
        ends = tuple(self.chain(branch, source) for branch in part.branches)
        join = operations.add() if part.parallel.join == "add" else operations.concat()
        self.layers.append(Layer(part.parallel.name, join, ends))
        return part.parallel.name

    def _step(self, part: TracedStep, source: str) -> str:
        name, layer = part.step.name, part.step.layer
        sources: tuple[str, ...] = (source,)
        if isinstance(layer, Pool):
            self.pools[name] = (layer, source)
        if isinstance(layer, Unpool):
            pool, taken = self.pools[part.partner or ""]
            operation, sources = pooled.unpool(pool.kernel, **_settings(pool)), (source, taken)
        elif isinstance(layer, Dropout):
            operation = self._dropout(layer, part.input)
        else:
            operation = _OPERATIONS[type(layer)](layer, part)
        shapes = _weight_shapes(part)
        weights = {kind: self.weights(f"{name}.{kind}", shape) for kind, shape in shapes.items()}
        self.layers.append(Layer(name, operation, sources, weights))
        return name

    def _dropout(self, layer: Dropout, volume: Volume) -> Operation:
        if self.generator is None:
            return operations.activation("identity")
        shape = (volume.channels,) if volume.flat else _axes(volume)
        return operations.dropout(self.generator.random((1, *shape)) >= layer.rate, rate=layer.rate)


def _convolution(layer: Convolution, part: TracedStep) -> Operation:
    window = _window(layer, overhang(layer, part.input))
    return windowed.conv(window) if layer.shared else windowed.local(window)


def _pool(layer: Pool, _: TracedStep) -> Operation:
    kinds = {"max": pooled.maxpool, "avg": pooled.avgpool, "l2": pooled.l2pool}
    return kinds[layer.kind](layer.kernel, **_settings(layer))


def _batch_norm(layer: BatchNorm, _: TracedStep) -> Operation:
    norm = operations.bn(epsilon=layer.epsilon)
    return norm if layer.scale else operations.unscaled(norm)


def _upsample(layer: Upsample, _: TracedStep) -> Operation:
    kind = pooled.nearest if layer.kind == "nearest" else pooled.nails
    return kind(layer.factor)


_OPERATIONS: dict[type, Callable[[Any, TracedStep], Operation]] = {
    Convolution: _convolution,
    TransposedConvolution: lambda layer, part: windowed.tconv(_window(layer, rounding(layer))),
    Whiten: lambda layer, part: windowed.conv(Window()),
    Pool: _pool,
    GlobalAverage: lambda layer, part: pooled.gap(),
    Full: lambda layer, part: operations.fc(),
    Activation: lambda layer, part: operations.activation(layer.name),
    BatchNorm: _batch_norm,
    LayerNorm: lambda layer, part: operations.ln(),
    ResponseNorm: lambda layer, part: operations.lrn(),
    Upsample: _upsample,
    Reshape: lambda layer, part: operations.reshape(_axes(part.output)),
    Scale: lambda layer, part: operations.scale(layer.numerator / layer.denominator),
    Code: lambda layer, part: operations.activation("identity"),
}


def _weight_shapes(part: TracedStep) -> dict[str, Shape]:
    """The weights of a layer, and their shapes."""
    layer, channels = part.step.layer, part.input.channels
    match layer:
        case Convolution() | TransposedConvolution() | Whiten():
            return _kernel_shapes(layer, part)
        case Full():
            return _with_bias((layer.units, part.input.size), (layer.units,), layer.bias)
        case BatchNorm(scale=False):
            return {"bias": (channels,)}
        case BatchNorm() | LayerNorm():
            return {"weight": (channels,), "bias": (channels,)}
        case _:
            return {}


def _kernel_shapes(
    layer: Convolution | TransposedConvolution | Whiten, part: TracedStep
) -> dict[str, Shape]:
    before, after = part.input, part.output
    if isinstance(layer, Whiten):
        weight: Shape = (after.channels, before.channels, *layer.kernel)
        return _with_bias(weight, (after.channels,), True)
    if isinstance(layer, TransposedConvolution):
        weight = (before.channels, layer.channels // layer.groups, *layer.kernel)
        return _with_bias(weight, (layer.channels,), bool(layer.bias))
    weight = (layer.channels, before.channels // layer.groups, *layer.kernel)
    if layer.shared:
        return _with_bias(weight, (layer.channels,), bool(layer.bias))
    return _with_bias((*weight, after.height, after.width), _axes(after), bool(layer.bias))


def _with_bias(weight: Shape, bias: Shape, has_bias: bool) -> dict[str, Shape]:
    return {"weight": weight, "bias": bias} if has_bias else {"weight": weight}


def _axes(volume: Volume) -> tuple[int, int, int]:
    return volume.channels, volume.height, volume.width


def _window(layer: Convolution | TransposedConvolution, extra: Pair) -> Window:
    return Window(layer.stride, layer.padding, layer.groups, layer.dilation, extra)


def _settings(pool: Pool) -> dict[str, Any]:
    return {"stride": pool.stride, "padding": pool.padding, "ceil": pool.ceil}
