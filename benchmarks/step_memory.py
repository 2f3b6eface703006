"""How near the predicted memory of a training step comes to the measured, over the zoo.

    python benchmarks/step_memory.py [NET ...] [--batches 1,8,32] [--largest 10]

A step is forward, loss (the cross-entropy; of an autoencoder the squared error against the images),
backward and SGD with momentum, in fp32 on the CPU, on random images of the net's own size in
channels_last order. Measured is the largest sum of bytes that PyTorch's CPU allocator holds
at any moment of the second step, so that the momentum exists: the allocations that PyTorch's
profiler records, exact and without noise, on top of what is there before the step (weights,
momentum, running statistics, images, labels).

For some nets the memory of a fresh process is measured too: its peak resident size over five steps,
less its size before the net is built. It holds more than the allocator gives out: what the C
library keeps between one use of a place and the next, thread stacks and code that is paged in.

Batches whose predicted memory is above `--largest` GiB are halved until they fit. Status 1 if a
prediction is off by more than 10 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from provenance import write_result
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from striate.nets import Net, load_net, zoo_nets
from striate.nets.fused import use_fused
from striate.nets.layers import RememberingMaxPool
from striate.training.rules import Descent, Memory

BOUND = 0.10
GIB = 2**30
IN_A_PROCESS = ("lenet5", "resnet20", "densenet40", "resnet18", "googlenet", "vgg11", "alexnet")


@dataclass(frozen=True)
class Row:
    net: str
    input: str
    batch: int
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    def line(self) -> str:
        numbers = f"{self.predicted / 2**20:,.2f} | {self.measured / 2**20:,.2f}"
        return f"| {self.net} | {self.input} | {self.batch} | {numbers} | {100 * self.error:+.1f} |"


class Training:
    """A net, a random batch, and an optimiser that hardly moves it."""

    def __init__(self, net: Net, batch: int) -> None:
        assert net.input is not None
        height, width, channels = net.input
        last = torch.channels_last
        self.module = net.build().to(memory_format=last)  # type: ignore[call-overload]
        use_fused(self.module, False)
        self.images = torch.rand(batch, channels, height, width).to(memory_format=last)
        self.labels = torch.zeros(batch, dtype=torch.long)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.memories: list[Memory] = [{} for _ in self.parameters]
        self.rule = Descent(momentum=0.9)

    def step(self) -> None:
        """Forward, backward, and a step of the optimiser."""
        self.forget_gradients()
        self.loss(self.module(self.images)).backward()
        gradients = [p.grad for p in self.parameters]
        with torch.no_grad():
            self.rule.move(self.parameters, gradients, self.memories, rate=1e-9, decay=0.0)

    def forget_gradients(self) -> None:
        """They hold no memory then."""
        for parameter in self.parameters:
            parameter.grad = None

    def loss(self, output: Tensor) -> Tensor:
        """Cross-entropy, or what an autoencoder learns: the squared error against the images."""
        if output.ndim == 2:
            return nn.functional.cross_entropy(output, self.labels)
        return nn.functional.mse_loss(output, self.images)

    def held(self) -> int:
        """Bytes that are there before a step."""
        parameters = sum(2 * p.nbytes for p in self.module.parameters())
        buffers = sum(b.nbytes for b in self.module.buffers())
        pools = [m for m in self.module.modules() if isinstance(m, RememberingMaxPool)]
        positions = sum(pool.positions.nbytes for pool in pools)
        return parameters + buffers + positions + self.images.nbytes + self.labels.nbytes

    def peak(self) -> int:
        """Bytes held at the worst moment of a step."""
        self.step()
        self.forget_gradients()
        before = self.held()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            self.step()
        now = most = 0
        results = recorded.profiler.kineto_results  # type: ignore[union-attr]
        for event in results.events():
            if event.name() == "[memory]":
                now += event.nbytes()
                most = max(most, now)
        return before + most


def measure(net: Net, name: str, batch: int) -> Row:
    """A line of the table."""
    assert net.input is not None
    predicted = predicted_bytes(net, batch)
    size = "x".join(map(str, net.input))
    return Row(name, size, batch, predicted, Training(net, batch).peak())


def resident(field: str) -> int:
    """A size of this process in bytes, by its name in Linux's process status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def in_this_process(name: str, batch: int) -> None:
    """Print by how much some steps raise the peak resident size of this fresh process."""
    warm = Training(load_net("input 8x8x3 conv3-8 bn relu fc-10"), 2)
    warm.step()  # code and buffers that every net needs
    before = resident("VmRSS")
    training = Training(load_net(name), batch)
    for _ in range(5):
        training.step()
    print(json.dumps(resident("VmHWM") - before))


def in_a_process(name: str, batch: int) -> int:
    """The same, of a process that is started for it."""
    command = [sys.executable, __file__, name, "--batches", str(batch), "--resident"]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def fitting(batch: int, predicted: Callable[[int], int], largest: float) -> int:
    """The batch, halved until its predicted memory fits."""
    while batch > 1 and predicted(batch) > largest * GIB:
        batch //= 2
    return batch


def table(names: list[str], batches: list[int], largest: float) -> list[Row]:
    """Measure every net at every batch that fits."""
    rows = []
    for name in names:
        net = load_net(name)
        predicted = partial(predicted_bytes, net)
        for batch in sorted({fitting(batch, predicted, largest) for batch in batches}):
            try:
                rows.append(measure(net, name, batch))
            except ValueError:  # batch normalisation of single values needs two images
                rows.append(measure(net, name, batch + 1))
            print(rows[-1].line(), flush=True)
    return rows


def predicted_bytes(net: Net, batch: int) -> int:
    """What `striate show` says."""
    return net.summary(batch=batch).memory_bytes


def report(rows: list[Row]) -> str:
    """The table over the zoo, and that of the fresh processes."""
    worst = max(rows, key=lambda row: abs(row.error))
    within = sum(abs(row.error) <= BOUND for row in rows)
    lines = [
        f"{within} of {len(rows)} predictions are within 10 %; the worst is {worst.net} at batch "
        f"{worst.batch}, {100 * worst.error:+.1f} %. Predicted against the largest sum of bytes",
        "that PyTorch's CPU allocator holds in a training step (fp32, SGD with momentum).",
        "",
        "| net | input | batch | predicted, MiB | measured, MiB | error, % |",
        "|---|---|---:|---:|---:|---:|",
        *(row.line() for row in rows),
        "",
        "Against the peak resident size of a fresh process over five steps:",
        "",
        "| net | batch | predicted, MiB | process, MiB | error, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.net in IN_A_PROCESS:
            size = in_a_process(row.net, row.batch)
            numbers = f"{row.predicted / 2**20:,.1f} | {size / 2**20:,.1f}"
            error = 100 * (row.predicted / size - 1)
            lines.append(f"| {row.net} | {row.batch} | {numbers} | {error:+.0f} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", default=[entry.name for entry in zoo_nets()])
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--largest", type=float, default=10, help="GiB")
    parser.add_argument("--resident", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    if options.resident:
        in_this_process(options.nets[0], batches[0])
        return 0
    rows = table(options.nets, batches, options.largest)
    print(write_result("step-memory", "Memory of a training step", report(rows)))
    return int(any(abs(row.error) > BOUND for row in rows))


if __name__ == "__main__":
    sys.exit(main())
