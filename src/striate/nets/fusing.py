"""Where one operator can do the work of several layers: a pass over the traced graph.

    pool2 bn relu        bn gelu        pool2 bn        and        {..., conv bn}{...} relu

where the last is a residual join: the batch norm at the end of its first or second branch, the
addition, and the activation after it. Layers keep their names, weights and places in the module; a
`FusedChain` only runs some of them together, and one by one where the operators do not apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor, nn

from striate.kernels import ACTIVATIONS, can_fuse, normalize_batch, scale_and_activate
from striate.nets.graph import Activation, BatchNorm, Pool
from striate.nets.shapes import TracedChain, TracedParallel, TracedStep


@dataclass(frozen=True)
class Fusion:
    """Neighbours in a chain that one operator replaces.

    Attributes:
        names: Of the layers, in order.
        norm: Name of the batch norm, in the chain or in `branch`.
        pool: 2 where a 2x2 max pooling comes first, else 1.
        activation: What comes last, or "identity".
        branch: Which branch of a residual join ends in the norm, or None.
    """

    names: tuple[str, ...]
    norm: str
    pool: int = 1
    activation: str = "identity"
    branch: int | None = None


def find_fusions(chain: TracedChain) -> dict[str, Fusion]:
    """The fusions of a chain, not of its branches, by the name of their first layer."""
    found: dict[str, Fusion] = {}
    place = 0
    while place < len(chain):
        fusion = _normalization(chain[place:]) or _residual(chain[place:])
        if fusion is not None:
            found[fusion.names[0]] = fusion
        place += len(fusion.names) if fusion else 1
    return found


def _normalization(parts: TracedChain) -> Fusion | None:
    pool = 2 if _halves(parts[0]) else 1
    norm = parts[pool - 1] if pool <= len(parts) else None
    if norm is None or not _is_norm(norm):
        return None
    names = [_name(part) for part in parts[:pool]]
    activation = _activation(parts[pool:])
    if activation != "identity":
        names.append(_name(parts[pool]))
    return Fusion(tuple(names), _name(norm), pool, activation)


def _residual(parts: TracedChain) -> Fusion | None:
    join = parts[0]
    if not isinstance(join, TracedParallel) or join.parallel.join != "add":
        return None
    activation = _activation(parts[1:])
    if len(join.branches) != 2:
        return None
    for branch, chain in enumerate(join.branches):
        if chain and _is_norm(chain[-1]) and not (len(chain) > 1 and _halves(chain[-2])):
            names = [_name(part) for part in parts[: 1 if activation == "identity" else 2]]
            return Fusion(tuple(names), _name(chain[-1]), 1, activation, branch)
    return None


def _halves(part: TracedStep | TracedParallel) -> bool:
    if not isinstance(part, TracedStep) or not isinstance(part.step.layer, Pool):
        return False
    pool = part.step.layer
    even = part.input.height % 2 == part.input.width % 2 == 0
    return (pool.kind, pool.kernel, pool.stride, pool.padding) == (
        "max", (2, 2), (2, 2), (0, 0),
    ) and (even or not pool.ceil)  # fmt: skip


def _is_norm(part: TracedStep | TracedParallel) -> bool:
    layer = part.step.layer if isinstance(part, TracedStep) else None
    return isinstance(layer, BatchNorm) and not part.input.flat


def _activation(parts: TracedChain) -> str:
    if parts and isinstance(parts[0], TracedStep):
        layer = parts[0].step.layer
        if isinstance(layer, Activation) and layer.name in ACTIVATIONS:
            return layer.name
    return "identity"


def _name(part: TracedStep | TracedParallel) -> str:
    return part.step.name if isinstance(part, TracedStep) else part.parallel.name


class FusedChain(nn.Sequential):
    """Layers in a row, some of which run as one operator.

    Args:
        layers: The layers by name.
        fusions: By the name of their first layer, as `find_fusions` gives them.

    Attributes:
        fused: Whether fused operators may run.
    """

    def __init__(self, layers: dict[str, nn.Module], fusions: dict[str, Fusion]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.fusions = fusions
        self.fused = True

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return self.run(x, list(self._modules))

    def run(self, x: Tensor, names: list[str]) -> Tensor:
        """Through some of the layers, which are neighbours."""
        place = 0
        while place < len(names):
            fusion = self.fusions.get(names[place]) if self.fused else None
            if fusion and place + len(fusion.names) <= len(names) and self._can_run(fusion, x):
                x = self._run_fused(fusion, x)
                place += len(fusion.names)
            else:
                x = self.get_submodule(names[place])(x)
                place += 1
        return x

    def _can_run(self, fusion: Fusion, x: Tensor) -> bool:
        layers = [self.get_submodule(name) for name in fusion.names]
        norm = self._norm(fusion)
        layers.append(norm)
        if fusion.pool == 2 and type(layers[0]) is not nn.MaxPool2d:  # it remembers positions
            return False
        heard = any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
        return not heard and can_fuse(x) and _suits(norm, x)

    def _norm(self, fusion: Fusion) -> nn.BatchNorm2d:
        chain: nn.Module = self
        if fusion.branch is not None:
            join = self.get_submodule(fusion.names[0])
            chain = join.get_submodule("branches").get_submodule(str(fusion.branch))
        norm = chain.get_submodule(fusion.norm)
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def _run_fused(self, fusion: Fusion, x: Tensor) -> Tensor:
        added = None
        if fusion.branch is not None:
            branches = list(self.get_submodule(fusion.names[0]).get_submodule("branches"))  # type: ignore[call-overload]
            body = branches.pop(fusion.branch)
            added = branches[0](x)
            x = body.run(x, list(body._modules)[:-1])
        options: _Options = {"added": added, "pool": fusion.pool, "activation": fusion.activation}
        return _normalize(self._norm(fusion), x, options)


class _Options(TypedDict):
    added: Tensor | None
    pool: int
    activation: str


def _suits(norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """In training always; else only where nobody asks for gradients, which are PyTorch's."""
    if norm.weight.dtype != torch.float32 or norm.weight.device.type != "cpu":
        return False
    return norm.training or not torch.is_grad_enabled()


def _normalize(norm: nn.BatchNorm2d, x: Tensor, options: _Options) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    assert norm.momentum is not None
    assert norm.num_batches_tracked is not None
    if not norm.training:
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return scale_and_activate(x, scale, norm.bias - mean * scale, **options)
    y, mean_here, variance_here = normalize_batch(
        x, norm.weight, norm.bias, epsilon=norm.eps, **options
    )
    count = y.numel() // y.shape[1]
    if count == 1:
        raise ValueError(f"one value a channel has no spread to normalise by: {tuple(x.shape)}")
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        mean.lerp_(mean_here, norm.momentum)
        variance.lerp_(variance_here * (count / (count - 1)), norm.momentum)
    return y


def use_fused(module: nn.Module, on: bool) -> None:
    """Whether the chains of a module run several layers as one operator, where they can."""
    for chain in module.modules():
        if isinstance(chain, FusedChain):
            chain.fused = on
