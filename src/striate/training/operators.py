"""The time of every operator of a step, and what each is for.

Each operator is timed where it runs, inside the real step, on the tensors that it gets there: their
layouts, types and places in memory decide its time, and no copy of the step can go stale. A
profiler would time the same operators but hands out no tensors, without which the two gradients of
a convolution cannot be told apart; hooks on modules see neither these nor the casts between them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from striate.training.machine import synchronize

Operator = torch._ops.OpOverload[..., Any]
Pass = Literal["forward", "input gradient", "weight gradient"]

PASSES: tuple[Pass, ...] = ("forward", "input gradient", "weight gradient")

_convolution_backward = torch.ops.aten.convolution_backward.default


class OperatorTimes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, every operator of one forward and backward pass is timed.

    An operator is a product of a layer if PyTorch knows how many multiplications it does (our own
    state it by `torch.utils.flop_counter.register_flop_formula`), and if it reads that layer's
    weights, or a cast of them, or on the way back what the layer took on the way forward. All
    others are pointwise, whatever their names, but for views, which compute nothing.

    Args:
        weights: The weights of each layer that multiplies, by the layer's name.
        device: Where the net is.

    Attributes:
        products: Seconds of each layer's products in each pass. Where one operator gives both
            gradients, a convolution is run for each of them, and any other counts half to each.
        pointwise: Seconds of all other operators.
        moved: Bytes that these read and write.
    """

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: defaultdict[tuple[str, Pass], float] = defaultdict(float)
        self.pointwise = 0.0
        self.moved = 0
        self._device = device
        self._multiplying = FlopCounterMode(display=False).flop_registry.keys()
        self._weight_sizes = {layer: weight.numel() for layer, weight in weights.items()}
        self._input_sizes: dict[str, int] = {}
        self._owner = {_place(weight): layer for layer, weight in weights.items()}
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
        products = self._products(read, given) if func.overloadpacket in self._multiplying else []
        for product in products:
            self.products[product] += seconds / len(products)
        if not products:
            self._count_pointwise(func, read, given, seconds)
        self._follow(read, given)
        return result

    def _products(self, read: list[Tensor], given: list[Tensor]) -> list[tuple[str, Pass]]:
        """Which products of a layer an operator that multiplies has computed."""
        owners = [owner for x in read if (owner := self._owner.get(_place(x)))]
        takers = [layer for x in read for layer in self._takers.get(_place(x), ())]
        sizes = [x.numel() for x in given]
        for layer in dict.fromkeys([*owners, *takers]):
            if layer not in self._input_sizes:
                self._remember_input(layer, read)
                return [(layer, "forward")]
            found: list[tuple[str, Pass]] = []
            if layer in owners and self._input_sizes[layer] in sizes:
                found.append((layer, "input gradient"))
            if layer in takers and self._weight_sizes[layer] in sizes:
                found.append((layer, "weight gradient"))
            if new := [one for one in found if one not in self.products]:
                return new
        return []

    def _remember_input(self, layer: str, read: list[Tensor]) -> None:
        """The input is the largest of what is not the weights; a bias has one axis."""
        others = [x for x in read if self._owner.get(_place(x)) != layer]
        taken = max(others, key=lambda x: (x.ndim > 1, x.numel()))
        self._input_sizes[layer] = taken.numel()
        self._takers[_place(taken)].append(layer)

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
