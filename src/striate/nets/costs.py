"""What a layer costs: parameters and multiply-adds, and what its weights would be unshared."""

from __future__ import annotations

from dataclasses import dataclass, replace

from striate.nets.graph import (
    BatchNorm,
    Chain,
    Convolution,
    Full,
    Layer,
    LayerNorm,
    Pair,
    Parallel,
    TransposedConvolution,
    Volume,
    Whiten,
)


def parameters(layer: Layer, before: Volume, after: Volume) -> int:
    """Numbers that training moves. A convolution has (Fh*Fw*C/groups + 1)*K."""
    channels = before.channels
    match layer:
        case Convolution():
            kernels = layer.channels if layer.shared else after.size
            return kernels * (_area(layer.kernel) * channels // layer.groups + bool(layer.bias))
        case TransposedConvolution():
            weights = channels * layer.channels * _area(layer.kernel) // layer.groups
            return weights + layer.channels * bool(layer.bias)
        case Full():
            return layer.units * (before.size + layer.bias)
        case BatchNorm() | LayerNorm():
            scaled = not isinstance(layer, BatchNorm) or layer.scale
            return channels * (1 + scaled)
    return after.channels if isinstance(layer, Whiten) else 0


def frozen(layer: Layer, before: Volume, after: Volume) -> int:
    """Weights that are set from the data and not trained: those of `whiten`."""
    if not isinstance(layer, Whiten):
        return 0
    return after.channels * _area(layer.kernel) * before.channels


def multiply_adds(layer: Layer, before: Volume, after: Volume) -> int:
    """Multiply-adds of one image forward; as is usual, only products with weights count."""
    match layer:
        case Convolution():
            return after.size * _area(layer.kernel) * before.channels // layer.groups
        case TransposedConvolution():
            return before.size * _area(layer.kernel) * layer.channels // layer.groups
        case Whiten():
            return after.size * _area(layer.kernel) * before.channels
        case Full():
            return layer.units * before.size
        case _:
            return 0


@dataclass(frozen=True)
class Comparison:
    """The parameters that layers from one volume to another would have.

    Attributes:
        outputs: Values of the output volume.
        shared: Of the convolution: one window of weights a kernel.
        local: Of the locally connected layer: one window of weights an output.
        full: Of the fully connected layer: one weight for each input of each output.
    """

    outputs: int
    shared: int
    local: int
    full: int

    def to_json(self) -> dict[str, int]:
        """The comparison in the document of `show`."""
        return {
            "outputs": self.outputs,
            "shared": self.shared,
            "locally_connected": self.local,
            "fully_connected": self.full,
        }


def compare(layer: Layer, before: Volume, after: Volume) -> Comparison | None:
    """A convolution or locally connected layer beside the other two; None for any other layer.

    Each has biases if the layer has.
    """
    if not isinstance(layer, Convolution):
        return None
    return Comparison(
        outputs=after.size,
        shared=parameters(replace(layer, shared=True), before, after),
        local=parameters(replace(layer, shared=False), before, after),
        full=parameters(Full(after.size, bool(layer.bias)), before, after),
    )


def depth(chain: Chain) -> int:
    """Convolutions and fully connected layers on the longest way through the graph."""
    total = 0
    for part in chain:
        if isinstance(part, Parallel):
            total += max(depth(branch) for branch in part.branches)
        else:
            total += isinstance(part.layer, Convolution | TransposedConvolution | Full)
    return total


def _area(kernel: Pair) -> int:
    return kernel[0] * kernel[1]
