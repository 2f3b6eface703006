"""A traced net to an ordinary `torch.nn.Module` whose layers have names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from striate.errors import NetError
from striate.nets import layers
from striate.nets.costs import frozen, parameters
from striate.nets.fused import FusedChain
from striate.nets.fusing import find_fusions
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Code,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    LayerNorm,
    Pool,
    Reshape,
    ResponseNorm,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Whiten,
)
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep
from striate.nets.trunk import Trunk, find_trunk
from striate.nets.windows import overhang, rounding

if TYPE_CHECKING:
    from striate.nets.net import Net

MOST_PARAMETERS = 2**30
LARGEST_ACTIVATION = 2**31  # values between two layers, for one image

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky": nn.LeakyReLU,
    "identity": nn.Identity,
}


class NetModule(nn.Module):
    """A net as a module, with PyTorch's default initialisation.

    Its layers are ordinary sub-modules of `layers`, named as in `Net.graph` ("conv1", "bn1"; "add1"
    for branches), so the keys of its `state_dict` follow from the graph alone.

    Args:
        net: The net.
        traced: The net on its input volume.

    Attributes:
        net: The net, whose text rebuilds this module.
        input: H, W, C of the images it takes.
    """

    def __init__(self, net: Net, traced: Traced) -> None:
        super().__init__()
        self.net = net
        self.input = (traced.input.height, traced.input.width, traced.input.channels)
        self.layers = build_layers(traced)
        self._flatten = (traced.output.height, traced.output.width) == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float -> (N, K) logits, or (N, C', H', W') if the net ends in a volume."""
        return self.finish(self.layers(x))

    def finish(self, x: Tensor) -> Tensor:
        """What the last layer gives, flat where it has one position."""
        return x.flatten(1) if self._flatten else x

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The output of every layer by name, in order; the values of `forward`.

        Branches come before the "add1" or "concat1" that joins them.
        """
        outputs: dict[str, Tensor] = {}
        _record(self.layers, x, outputs)
        return outputs


def _record(chain: nn.Sequential, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
    for name, layer in chain.named_children():
        if isinstance(layer, layers.Parallel):
            branches = [_record(branch, x, outputs) for branch in layer.branches]  # type: ignore[arg-type]
            x = layer.join(branches)
        else:
            x = layer(x)
        outputs[name] = x
    return x


def build(net: Net, traced: Traced) -> NetModule:
    """The module of a net.

    Raises:
        NetError: If it would have more than 2^30 weights, or a volume of more than 2^31 values.
    """
    total, largest = _size(traced.chain)
    if total > MOST_PARAMETERS:
        raise NetError(
            f"{total} weights are too many to build; the limit is {MOST_PARAMETERS}",
            hint="pool more before the first fully connected layer, or use fewer kernels",
        )
    if largest > LARGEST_ACTIVATION:
        raise NetError(f"a layer of {largest} values for one image is too large to build")
    return NetModule(net, traced)


def build_layers(traced: Traced, *, trunk: bool = True) -> nn.Sequential:
    """The layers of a traced graph alone, without a net around them.

    Args:
        traced: The graph.
        trunk: Whether the first layers may run as one, if it is that of a small net.
    """
    return _Builder(traced, find_trunk(traced.chain) if trunk else None).sequential(traced.chain)


def _size(chain: TracedChain) -> tuple[int, int]:
    total, largest = 0, 0
    for part in chain:
        largest = max(largest, part.output.size)
        if isinstance(part, TracedStep):
            sizes = (part.step.layer, part.input, part.output)
            total += parameters(*sizes) + frozen(*sizes)
        else:
            for more, inner in map(_size, part.branches):
                total, largest = total + more, max(largest, inner)
    return total, largest


class _Builder:
    def __init__(self, traced: Traced, trunk: Trunk | None) -> None:
        self.whole = traced.chain
        self.trunk = trunk
        self.remembered = set(_partners(traced.chain))
        self.pools: dict[str, layers.RememberingMaxPool] = {}

    def sequential(self, chain: TracedChain) -> FusedChain:
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for part in chain:
            if isinstance(part, TracedStep):
                modules[part.step.name] = self._module(part)
            else:
                branches = [self.sequential(branch) for branch in part.branches]
                join = layers.Add if part.parallel.join == "add" else layers.Concatenate
                modules[part.parallel.name] = join(branches)
        fusions = find_fusions(chain)
        if self.trunk is not None and chain is self.whole:
            fusions.setdefault(self.trunk.names[0], []).insert(0, self.trunk)
        return FusedChain(modules, fusions)

    def _module(self, part: TracedStep) -> nn.Module:
        layer = part.step.layer
        if isinstance(layer, Pool):
            return self._pool(layer, part)
        if isinstance(layer, Unpool):
            return layers.MaxUnpool(self.pools[part.partner or ""])
        make: Callable[[Any, TracedStep], nn.Module] = _MAKERS[type(layer)]
        return make(layer, part)

    def _pool(self, layer: Pool, part: TracedStep) -> nn.Module:
        if part.step.name in self.remembered:
            pool = layers.RememberingMaxPool(
                layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil
            )
            self.pools[part.step.name] = pool
            return pool
        match layer.kind:
            case "max":
                return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)
            case "avg":
                return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)
            case "l2":
                return layers.L2Pool(layer.kernel, layer.stride, layer.padding, layer.ceil)


def _partners(chain: TracedChain) -> list[str]:
    names: list[str] = []
    for part in chain:
        if isinstance(part, TracedParallel):
            names.extend(name for branch in part.branches for name in _partners(branch))
        elif part.partner is not None:
            names.append(part.partner)
    return names


def _convolution(layer: Convolution, part: TracedStep) -> nn.Module:
    before, after = part.input, part.output
    if not layer.shared:
        return layers.LocallyConnected(layer, before, after)
    options = {
        "kernel_size": layer.kernel,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": bool(layer.bias),
    }
    pointwise = (layer.kernel, layer.padding, layer.groups) == ((1, 1), (0, 0), 1)
    narrow = pointwise and layer.stride != (1, 1) and before.channels < layers.NARROW
    extra = overhang(layer, before)
    if extra != (0, 0):
        rounded = layers.RoundedUpNarrowConvolution if narrow else layers.RoundedUpConvolution
        return rounded(extra, before.channels, after.channels, **options)
    kind = layers.NarrowConvolution if narrow else nn.Conv2d
    return kind(before.channels, after.channels, **options)  # type: ignore[arg-type]


def _transposed(layer: TransposedConvolution, part: TracedStep) -> nn.Module:
    pointwise = (layer.kernel, layer.padding, layer.groups) == ((1, 1), (0, 0), 1)
    narrow = pointwise and layer.stride != (1, 1) and layer.channels < layers.NARROW
    kind = layers.NarrowTransposedConvolution if narrow else nn.ConvTranspose2d
    return kind(
        part.input.channels,
        layer.channels,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=rounding(layer),
        groups=layer.groups,
        dilation=layer.dilation,
        bias=bool(layer.bias),
    )


def _batch_norm(layer: BatchNorm, part: TracedStep) -> nn.Module:
    kind: type[nn.BatchNorm1d | nn.BatchNorm2d]
    if layer.scale:
        kind = nn.BatchNorm1d if part.input.flat else nn.BatchNorm2d
    else:
        kind = layers.UnscaledBatchNorm1d if part.input.flat else layers.UnscaledBatchNorm2d
    return kind(part.input.channels, eps=layer.epsilon, momentum=layer.momentum)


def _layer_norm(_: LayerNorm, part: TracedStep) -> nn.Module:
    channels = part.input.channels
    return nn.LayerNorm(channels) if part.input.flat else nn.GroupNorm(1, channels)


def _response_norm(_: ResponseNorm, __: TracedStep) -> nn.Module:
    # PyTorch divides alpha by the channels in the window; the paper's 1e-4 is not divided.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _activation(layer: Activation, _: TracedStep) -> nn.Module:
    return nn.Softmax(dim=1) if layer.name == "softmax" else _ACTIVATIONS[layer.name]()


def _upsample(layer: Upsample, _: TracedStep) -> nn.Module:
    if layer.kind == "nails":
        return layers.BedOfNails(layer.factor)
    return nn.Upsample(scale_factor=layer.factor, mode="nearest")


def _reshape(layer: Reshape, _: TracedStep) -> nn.Module:
    return layers.Reshape((layer.channels, layer.height, layer.width))


_MAKERS: dict[type, Callable[[Any, TracedStep], nn.Module]] = {
    Convolution: _convolution,
    TransposedConvolution: _transposed,
    Whiten: lambda layer, part: layers.Whiten(part.input.channels, layer.kernel),
    Full: lambda layer, part: layers.Full(part.input.size, layer.units, bias=layer.bias),
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ResponseNorm: _response_norm,
    Activation: _activation,
    GlobalAverage: lambda layer, part: nn.AdaptiveAvgPool2d(1),
    Dropout: lambda layer, part: nn.Dropout(layer.rate),
    Upsample: _upsample,
    Reshape: _reshape,
    Scale: lambda layer, part: layers.Scale(layer.numerator / layer.denominator),
    Code: lambda layer, part: nn.Identity(),
}
