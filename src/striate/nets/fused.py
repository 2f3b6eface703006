"""A chain of layers, some of which run as one operator where they can."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Protocol

from torch import Tensor, nn
from torch.nn.modules.module import (
    _global_backward_hooks,
    _global_forward_hooks,
    _global_forward_pre_hooks,
)


class Fusion(Protocol):
    """Neighbours in a chain that one operator replaces.

    Attributes:
        names: Of the layers, in order.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of the layers."""

    def layers(self, chain: FusedChain) -> list[nn.Module]:
        """The modules that do not run for themselves."""

    def can_run(self, chain: FusedChain, x: Tensor) -> bool:
        """Whether the operator does what the modules would do with this input."""

    def run(self, chain: FusedChain, x: Tensor) -> Tensor:
        """Through the operator."""


Fusions = dict[str, list[Fusion]]  # by the name of their first layer, those to be preferred first


class FusedChain(nn.Sequential):
    """Layers in a row, some of which run as one operator.

    Args:
        layers: The layers by name.
        fusions: As `find_fusions` gives them.

    Attributes:
        fused: Whether fused operators may run.
    """

    def __init__(self, layers: dict[str, nn.Module], fusions: Fusions) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.fusions = fusions
        self.fused = True
        self._built = {name: [f.layers(self) for f in several] for name, several in fusions.items()}

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return self.run(x, list(self._modules))

    def run(self, x: Tensor, names: list[str]) -> Tensor:
        """Through some of the layers, which are neighbours."""
        place = 0
        while place < len(names):
            fusion = self._fusion(names[place:], x)
            x = fusion.run(self, x) if fusion else self.get_submodule(names[place])(x)
            place += len(fusion.names) if fusion else 1
        return x

    def _fusion(self, names: list[str], x: Tensor) -> Fusion | None:
        """The first that begins here and can run, of the layers as they were built."""
        if not self.fused or names[0] not in self.fusions:
            return None
        for fusion, built in zip(self.fusions[names[0]], self._built[names[0]], strict=True):
            if tuple(names[: len(fusion.names)]) != fusion.names or not self._stands(fusion, built):
                continue
            own = any("forward" in vars(layer) for layer in built)
            if not own and not has_listeners(built) and fusion.can_run(self, x):
                return fusion
        return None

    def _stands(self, fusion: Fusion, built: list[nn.Module]) -> bool:
        """Whether its layers are those that were built; what is in a join only if the join is."""
        in_chain = zip(fusion.names, built, strict=False)
        if any(self._modules[name] is not layer for name, layer in in_chain):
            return False
        return all(map(operator.is_, fusion.layers(self), built))


def has_listeners(layers: Iterable[nn.Module]) -> bool:
    """Whether somebody has asked to see what goes through one of them, forward or back."""
    if any((_global_forward_hooks, _global_forward_pre_hooks, _global_backward_hooks)):
        return True
    return any(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        for layer in layers
    )


def use_fused(module: nn.Module, on: bool) -> None:
    """Whether the chains of a module run several layers as one operator, where they can."""
    for chain in module.modules():
        if isinstance(chain, FusedChain):
            chain.fused = on
