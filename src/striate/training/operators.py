"""The time of every operator of a step, and what each is for.

Each operator is timed where it runs, inside the real step, on the tensors that it gets there: their
layouts, types and places in memory decide its time, and no copy of the step can go stale. A
profiler would time the same operators but hands out no tensors, without which the two gradients of
a convolution cannot be told apart; hooks on modules see neither these nor the casts between them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from striate.training.machine import synchronize
from striate.training.multiplying import MultiplyingLayer

Operator = torch._ops.OpOverload[..., Any]
Pass = Literal["forward", "input gradient", "weight gradient"]

PASSES: tuple[Pass, ...] = ("forward", "input gradient", "weight gradient")

_convolution_backward = torch.ops.aten.convolution_backward.default


class OperatorTimes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, every operator of one forward and backward pass is timed.

    An operator is a product of a layer if PyTorch knows how many operations it does
    (`torch.utils.flop_counter`), or if it is none of PyTorch's; and if it reads that layer's
    weights, or a cast of them, or on the way back what the layer took on the way forward. All
    others are pointwise, whatever their names, but for views, which compute nothing.

    The time of an operator that does several products is shared out by their multiply-adds, and
    what else it does is in it. A convolution's two gradients are computed one after the other, as
    PyTorch does it inside.

    Args:
        layers: Those that multiply.
        device: Where the net is.

    Attributes:
        products: Seconds of each layer's products in each pass.
        pointwise: Seconds of all other operators.
        moved: Bytes that these read and write.
    """

    def __init__(self, layers: Iterable[MultiplyingLayer], device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: defaultdict[tuple[str, Pass], float] = defaultdict(float)
        self.pointwise = 0.0
        self.moved = 0
        self._device = device
        self._counted = FlopCounterMode(display=False).flop_registry.keys()
        self._layers = {layer.name: layer for layer in layers}
        self._input_sizes: dict[str, int] = {}  # of the layers that have had their way forward
        self._together: dict[str, list[str]] = {}  # on the way forward, in one operator
        self._owner = {_place(layer.weights): name for name, layer in self._layers.items()}
        self._takers: defaultdict[int, list[str]] = defaultdict(list)

    def __torch_dispatch__(
        self,
        func: Operator,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator, and count its time."""
        kwargs = kwargs or {}
        if func.is_view:
            return func(*args, **kwargs)
        read = list(_tensors([*args, *kwargs.values()]))
        if func == _convolution_backward:
            return self._both_gradients(args, read)
        result, seconds = self._timed(lambda: func(*args, **kwargs))
        given = list(_tensors([result]))
        products = self._products(func, read, given)
        total = sum(self._layers[layer].work.multiply_adds for layer, _ in products)
        for layer, one in products:
            share = self._layers[layer].work.multiply_adds / total
            self.products[layer, one] += seconds * share
        if not products:
            self._count_pointwise(func, read, given, seconds)
        self._follow(read, given)
        return result

    def _products(
        self, func: Operator, read: list[Tensor], given: list[Tensor]
    ) -> list[tuple[str, Pass]]:
        """Which products of which layers an operator has computed."""
        foreign = func.namespace != "aten"
        if not foreign and func.overloadpacket not in self._counted:
            return []
        owned_by = [self._owner.get(_place(x)) for x in read]
        if all(owned_by):  # weights alone, such as a cast of them
            return []
        owners = list(dict.fromkeys(filter(None, owned_by)))
        takers = [layer for x in read for layer in self._takers.get(_place(x), ())]
        if foreign and len(owners) > 1:
            return self._of_several(owners)
        for layer in dict.fromkeys([*owners, *takers]):
            if layer not in self._input_sizes:
                self._remember_input(layer, read)
                return [(layer, "forward")]
            found = self._gradients(layer, given, foreign)
            reading = {"input gradient": owners, "weight gradient": takers}
            new = [(layer, one) for one in found if layer in reading[one]]
            if new := [product for product in new if product not in self.products]:
                return new
        return self._of_several(owners) if foreign else []

    def _remember_input(self, layer: str, read: list[Tensor]) -> None:
        """The input is the largest of what is not the weights; a bias has one axis."""
        others = [x for x in read if self._owner.get(_place(x)) != layer]
        taken = max(others, key=lambda x: (x.ndim > 1, x.numel()))
        self._input_sizes[layer] = taken.numel()
        self._takers[_place(taken)].append(layer)

    def _gradients(self, layer: str, given: list[Tensor], foreign: bool) -> Iterator[Pass]:
        """Those of a layer that may be among the results, by their sizes."""
        weights = self._layers[layer].weights
        sizes = [x.numel() for x in given]
        if self._input_sizes[layer] in sizes:
            yield "input gradient"
        if any(x.shape == weights.shape for x in given) if foreign else weights.numel() in sizes:
            yield "weight gradient"

    def _of_several(self, owners: list[str]) -> list[tuple[str, Pass]]:
        """Products of an operator for several layers: all ways forward, or all gradients."""
        new = [layer for layer in owners if layer not in self._input_sizes]
        if new:
            self._input_sizes |= dict.fromkeys(new, 0)
            self._together |= dict.fromkeys(new, new)
            return [(layer, "forward") for layer in new]
        found: list[tuple[str, Pass]] = []
        for layer in dict.fromkeys(x for one in owners for x in self._together.get(one, [one])):
            if self._layers[layer].work.trained:
                found.append((layer, "input gradient"))
            if self._layers[layer].weights.requires_grad:
                found.append((layer, "weight gradient"))
        return found

    def _both_gradients(self, args: tuple[Any, ...], read: list[Tensor]) -> list[Tensor | None]:
        """A convolution's way back, one gradient after the other, as PyTorch does it inside."""
        *rest, (of_input, of_weight, of_bias) = args
        layer = self._owner.get(_place(args[2]))
        results: list[Tensor | None] = [None, None, None]
        parts: tuple[tuple[Pass, list[bool]], ...] = (
            ("input gradient", [of_input, False, False]),
            ("weight gradient", [False, of_weight, of_bias]),
        )
        for one, mask in parts:
            if not any(mask):
                continue
            part, seconds = self._timed(partial(_convolution_backward, *rest, mask))
            if layer is None or mask == [False, False, True]:  # of frozen weights: a sum alone
                self._count_pointwise(_convolution_backward, read[:1], _tensors(part), seconds)
            else:
                self.products[layer, one] += seconds
            results = [old if new is None else new for old, new in zip(results, part, strict=True)]
        self._follow(read, list(_tensors(results)))
        return results

    def _count_pointwise(
        self, func: Operator, read: list[Tensor], given: Iterable[Tensor], seconds: float
    ) -> None:
        self.pointwise += seconds
        places = {_place(x) for x in read}
        written = [x for x in given if func._schema.is_mutable or _place(x) not in places]
        if written:  # else it is a view, whatever it is declared as
            self.moved += sum(map(_bytes, [*read, *written]))

    def _follow(self, read: list[Tensor], given: list[Tensor]) -> None:
        """What is made of a layer's weights alone is weights too; other new memory is not."""
        places = {_place(x) for x in read}
        owners = {self._owner.get(place) for place in places}
        owner = owners.pop() if len(owners) == 1 else None
        for place in {_place(x) for x in given} - places:
            self._takers.pop(place, None)
            self._owner.pop(place, None)
            if owner is not None:
                self._owner[place] = owner

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        synchronize(self._device)
        start = time.perf_counter()
        result = work()
        synchronize(self._device)
        return result, time.perf_counter() - start


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    """All tensors among values and within lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _place(tensor: Tensor) -> int:
    """Where a tensor's memory begins, which it shares with its views."""
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    """Of its values; of one that was expanded, those that there are."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())
