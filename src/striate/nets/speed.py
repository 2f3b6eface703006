"""What this machine does in a second, measured on the spot: to predict the time of a step.

The pieces of a step are in fp32 on the CPU, with PyTorch's current threads. Of several times the
shortest counts: on a busy machine, threads that wait for each other may take a hundred times as
long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from striate.nets.build import build_layers
from striate.nets.fused import use_fused
from striate.nets.graph import Volume
from striate.nets.shapes import trace
from striate.nets.work import Work

CPU = torch.device("cpu")
SIDE = 512  # of the square matrices: large enough to run at full speed, small enough to repeat
COPIED = 24 * 2**20  # bytes: more than the caches of one core hold
REPEATS = 3  # of each measurement at least, but for long ones
TOGETHER = 0.003  # seconds at least, that the repeats take
LONG = 0.03  # seconds, after which there are no more
MOST_LOGITS = 2**20  # for which the loss is measured
MOST_VALUES = 2**23  # for which the optimiser is measured
FILLING = 0.01  # any number that is not slow to compute with


@dataclass(frozen=True)
class Ceilings:
    """The most that can be had.

    Attributes:
        multiply_adds_per_second: Of a matrix product.
        bytes_per_second: Of a copy, read and written.
    """

    multiply_adds_per_second: float
    bytes_per_second: float


def measure_ceilings() -> Ceilings:
    """Times matrix products and copies."""
    return Ceilings(
        multiply_adds_per_second=product_rate(torch.float32),
        bytes_per_second=copy_rate(),
    )


def product_rate(dtype: torch.dtype, side: int = SIDE, device: torch.device = CPU) -> float:
    """Multiply-adds in a second of a product of two matrices of `side` rows and columns."""
    left, right, product = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(3))

    def run() -> None:
        torch.mm(left, right, out=product)
        _wait_for(device)

    return side**3 / shortest(run)


def copy_rate(size: int = COPIED, device: torch.device = CPU) -> float:
    """Bytes in a second, read and written, of a copy of `size` bytes."""
    source, target = (torch.ones(size // 4, device=device) for _ in range(2))

    def run() -> None:
        target.copy_(source)
        _wait_for(device)

    return 2 * size / shortest(run)


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def work_seconds(work: Work, batch: int, *, copies: int) -> float:
    """Forward and back through a piece of a step.

    Args:
        work: The piece.
        batch: Images.
        copies: How often it is run, with weights and images of its own each time, before all go
            back: so that they are as far from the caches as in a net.
    """
    if work.join:
        return _join_seconds(work, batch, copies)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        return _layer_seconds(work, batch, copies)


def _layer_seconds(work: Work, batch: int, copies: int) -> float:
    layers = [_layer(work) for _ in range(copies)]
    images = [_images(work.input, batch).requires_grad_(work.trained) for _ in layers]
    parameters = [p for layer in layers for p in layer.parameters()]
    gradient = _images(work.output, batch)

    def run() -> None:
        for tensor in [*parameters, *images]:
            tensor.grad = None
        outputs = [layer(x) for layer, x in zip(layers, images, strict=True)]
        if outputs[0].requires_grad:
            torch.autograd.backward(outputs, [gradient] * copies)

    return shortest(run) / copies


def _layer(work: Work) -> nn.Module:
    """A module that is not initialised as for training: that takes long, and random numbers."""
    with torch.device("meta"):
        empty = build_layers(trace(work.layers, work.input, ""), trunk=work.trunk)
    module: nn.Module = empty.to_empty(device="cpu")
    use_fused(module, work.fused)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.fill_(FILLING)
    return module


def _join_seconds(work: Work, batch: int, copies: int) -> float:
    """The join, and the adding up of the gradients where its branches part."""
    volume = work.input
    wholes = [_images(volume, batch) for _ in range(2 * copies)]
    halves = [x[:, : max(1, volume.channels // 2)] for x in wholes]

    def run() -> list[Tensor]:
        summed = [a + b for a, b in zip(wholes[::2], wholes[1::2], strict=True)]
        if work.join == "add":
            joined = [a + b for a, b in zip(wholes[::2], wholes[1::2], strict=True)]
        else:
            joined = [torch.cat(pair, 1) for pair in zip(halves[::2], halves[1::2], strict=True)]
        return summed + joined

    return shortest(run) / copies


def loss_seconds(classes: int, batch: int) -> float:
    """Cross-entropy, forward and back; of many numbers, by what a part of the images takes."""
    images = max(1, min(batch, MOST_LOGITS // classes))
    logits, labels = torch.zeros(images, classes), torch.zeros(images, dtype=torch.long)

    def run() -> None:
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(logits.requires_grad_(), labels)
            torch.autograd.backward(loss)

    return shortest(run) * batch / images


def optimizer_seconds(tensors: int, values: int, *, memory: int) -> float:
    """A step of SGD with momentum, as in training, on so many tensors and values in all.

    Measured is what it costs for itself, for each tensor, and for each value: the last on about
    `memory` bytes, or as many as are large for the caches.
    """
    if tensors == 0:
        return 0.0
    some = min(max(values, memory // 12), MOST_VALUES)
    few, many, large = (_momentum_step(sizes) for sizes in ([8], [8] * 9, [some]))
    return few + (many - few) / 8 * (tensors - 1) + max(0.0, large - few) * values / some


def _momentum_step(sizes: list[int]) -> float:
    weights = [torch.full((size,), FILLING) for size in sizes]
    gradients = [torch.full_like(weight, FILLING) for weight in weights]
    momenta: list[Tensor | None] = [torch.zeros_like(weight) for weight in weights]

    def run() -> None:
        sgd(
            weights,
            gradients,
            momenta,
            fused=True,
            lr=FILLING,
            momentum=0.9,
            weight_decay=0.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    return shortest(run)


def _images(volume: Volume, batch: int) -> Tensor:
    if volume.flat:
        return torch.full((batch, volume.channels), FILLING)
    shape = batch, volume.channels, volume.height, volume.width
    return torch.full(shape, FILLING).to(memory_format=torch.channels_last)


def shortest(work: Callable[[], object]) -> float:
    """The shortest of several times of one call, after one that is not counted."""
    work()
    times: list[float] = []
    while sum(times) < (TOGETHER if len(times) >= REPEATS else LONG):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def clock() -> float:
    """Seconds; with one thread those of the processor, which others that use it do not disturb."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
