"""The peak memory of a training step: the step is played through with sizes in place of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from striate.nets.footprint import FLOAT_BYTES, Footprint, Order, footprint, lasting_bytes
from striate.nets.shapes import Traced, TracedChain, TracedParallel, TracedStep


def training_bytes(traced: Traced, batch: int) -> int:
    """Predicted peak of a training step in fp32 on `batch` images, with a momentum optimiser.

    What PyTorch's CPU allocator holds at the worst moment: images and labels; weights, their
    momentum and as many of their gradients as there are by then; what the layers have kept for the
    way back; and what the layer in hand needs. Layers run one by one: where one operator does the
    work of several (`striate.nets.fusing`), the step needs less; minimal filtering of a convolution
    of C to K channels takes up to 144 C K bytes more for a moment. The gradients of the step before
    are freed at the beginning. The loss is the cross-entropy, or the squared error of a net that
    ends in a volume.
    """
    before = lasting_bytes(traced.chain, batch) + FLOAT_BYTES * batch * traced.input.size
    memory = _Memory(now=before, peak=before)
    step = _Step(memory, batch)
    output = step.chain(traced.chain, _Tensor(_Block(FLOAT_BYTES * batch * traced.input.size)))
    if output.trained:
        step.loss(output, volume=(traced.output.height, traced.output.width) != (1, 1))
        step.back()
    return memory.peak


@dataclass(eq=False)
class _Block:
    """Bytes that are freed when nobody holds them any more."""

    size: int
    holders: int = 1


@dataclass
class _Memory:
    now: int
    peak: int

    def take(self, size: int) -> _Block:
        self.pass_through(size)
        self.now += size
        return _Block(size)

    def pass_through(self, size: int) -> None:
        """Take and free at once."""
        self.peak = max(self.peak, self.now + size)

    def hold(self, block: _Block) -> _Block:
        block.holders += 1
        return block

    def drop(self, *blocks: _Block) -> None:
        for block in blocks:
            block.holders -= 1
            if block.holders == 0:
                self.now -= block.size


@dataclass(eq=False)
class _Tensor:
    """Values on the way forward, and the gradient that has come back to them.

    Attributes:
        block: The values.
        first: Whether their channels come first in memory.
        trained: Whether a gradient is asked for.
        gradient: The gradient, once it is there.
        gradient_first: Whether its channels come first.
        sliced: Whether it is a slice of the gradient of a concatenation.
    """

    block: _Block
    first: bool = False
    trained: bool = False
    gradient: _Block | None = None
    gradient_first: bool = False
    sliced: bool = False

    @property
    def arrived(self) -> _Block:
        """The gradient, where it is known to be there."""
        assert self.gradient is not None
        return self.gradient


@dataclass
class _Step:
    """Forward, leaving for each layer a function that goes back through it, as autograd does."""

    memory: _Memory
    batch: int

    def __post_init__(self) -> None:
        self.tape: list[Callable[[], None]] = []

    def back(self) -> None:
        for function in reversed(self.tape):
            function()

    def chain(self, chain: TracedChain, x: _Tensor) -> _Tensor:
        """Forward through a chain, which takes over the caller's hold on `x`."""
        for part in chain:
            y = self._join(part, x) if isinstance(part, TracedParallel) else self._layer(part, x)
            self.memory.drop(x.block)
            x = y
        return x

    def _layer(self, part: TracedStep, x: _Tensor) -> _Tensor:
        memory, needs = self.memory, footprint(part, self.batch)
        if needs.output == 0:
            memory.hold(x.block)
            return x
        first = _first(needs.order, x.first)
        y = _Tensor(memory.take(needs.output), first, x.trained or needs.weights > 0)
        kept = [memory.take(needs.kept)]
        memory.pass_through(needs.forward + _turned(x, needs))
        if needs.keeps_input:
            kept.append(memory.hold(x.block))
        if needs.keeps_output:
            kept.append(memory.hold(y.block))
        if y.trained:
            self.tape.append(partial(self._layer_back, x, y, kept, needs))
        else:
            memory.drop(*kept)
        return y

    def _layer_back(self, x: _Tensor, y: _Tensor, kept: list[_Block], needs: Footprint) -> None:
        memory = self.memory
        passed_on = memory.take(x.block.size) if x.trained else None
        memory.take(needs.weights)
        reordered = needs.reordered if y.gradient_first != y.first else 0
        memory.pass_through(needs.backward + reordered + _turned(x, needs))
        memory.drop(*kept)
        if passed_on is not None:
            self._give(x, passed_on, first=_first(needs.order_back, x.first, y.gradient_first))
        memory.drop(y.arrived)

    def _join(self, part: TracedParallel, x: _Tensor) -> _Tensor:
        memory, outputs = self.memory, []
        for branch in part.branches:
            memory.hold(x.block)
            outputs.append(self.chain(branch, x))
        block = memory.take(FLOAT_BYTES * self.batch * part.output.size)
        y = _Tensor(block, outputs[0].first, any(output.trained for output in outputs))
        added = part.parallel.join == "add"
        if added and len(outputs) > 2:
            memory.pass_through(block.size)
        memory.drop(*(output.block for output in outputs))
        if y.trained:
            self.tape.append(partial(self._join_back, outputs, y, sliced=not added))
        return y

    def _join_back(self, outputs: list[_Tensor], y: _Tensor, *, sliced: bool) -> None:
        for output in outputs:
            if output.trained:
                gradient = self.memory.hold(y.arrived)
                self._give(output, gradient, first=y.gradient_first, sliced=sliced)
        self.memory.drop(y.arrived)

    def _give(self, x: _Tensor, gradient: _Block, *, first: bool, sliced: bool = False) -> None:
        """Gradients of what is used twice are added: in place, if nobody else reads the first."""
        memory, old = self.memory, x.gradient
        if old is None:
            x.gradient, x.gradient_first, x.sliced = gradient, first, sliced
        elif old.holders == 1 and not x.sliced:
            memory.drop(gradient)
        else:
            x.gradient, x.sliced = memory.take(x.block.size), False
            memory.drop(old, gradient)

    def loss(self, y: _Tensor, *, volume: bool) -> None:
        """Cross-entropy keeps the log-probabilities until it has its gradient.

        The squared error of a volume keeps that volume, and as much again under its one number.
        """
        memory, size = self.memory, y.block.size
        memory.take(size if volume else 0)
        kept = memory.hold(y.block) if volume else memory.take(size)
        memory.pass_through(size if volume else 0)
        memory.drop(y.block)
        memory.pass_through(0 if volume else 2 * size)
        y.gradient, y.gradient_first = memory.take(size), volume
        memory.drop(kept)


def _first(order: Order, values: bool, gradient: bool = False) -> bool:
    """Whether channels come first, of values after a layer or of a gradient before it."""
    if order == "as the values":
        return values
    return gradient if order == "as the gradient" else order == "first"


def _turned(x: _Tensor, needs: Footprint) -> int:
    """A copy of the input for a layer that wants its channels last."""
    return x.block.size if x.first and needs.order == "last" else 0
