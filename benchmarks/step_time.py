"""How near the predicted time of a training step comes to the measured, over the zoo.

    python benchmarks/step_time.py [NET ...] [--seconds 0.5]

For every net, on images of its own size, and for three batch sizes (1, 8 and 32; 1, 4 and 16 where
the images have more than 64 pixels a side): first the prediction, as in `striate show`, which
measures some of the net's layers for about a second; right after it the step itself, in fp32 with
PyTorch's current threads: forward, loss, backward, SGD with momentum, and freed memory kept as in
a training. Three steps are not counted, in which memory is paged in; then steps are timed until
`--seconds` have passed and there are three, and the median counts. With one thread all times are
those of the processor. With more, give the machine to it alone: the whole zoo takes about twelve
minutes on two cores. Status 1 if a prediction is off by more than 30 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

from provenance import write_result
from step_memory import Training

from striate.kernels.memory import keep_freed_memory
from striate.nets import Net, load_net, zoo_nets
from striate.nets.fused import use_fused
from striate.nets.speed import clock

BOUND = 0.30
SMALL_IMAGES = 64
FIRST_STEPS, LEAST_STEPS = 3, 3
BATCHES, BATCHES_OF_LARGE = (1, 8, 32), (1, 4, 16)


@dataclass(frozen=True)
class Row:
    net: str
    batch: int
    predicted: float
    measured: float
    asking: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured

    def line(self) -> str:
        times = f"{1e3 * self.predicted:,.3g} | {1e3 * self.measured:,.3g}"
        return f"| {self.net} | {self.batch} | {times} | {self.ratio:.2f} | {self.asking:.2f} |"


def measure(net: Net, name: str, batch: int, seconds: float) -> Row:
    """A line of the table."""
    start = time.perf_counter()
    predicted = net.step_seconds(batch=batch)
    asking = time.perf_counter() - start
    keep_freed_memory()
    training = Training(net, batch)
    use_fused(training.module, True)
    for _ in range(FIRST_STEPS):
        training.step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_STEPS or time.perf_counter() < end:
        start = clock()
        training.step()
        times.append(clock() - start)
    return Row(name, batch, predicted, statistics.median(times), asking)


def table(names: list[str], seconds: float) -> list[Row]:
    """Every net at its three batch sizes."""
    rows = []
    for name in names:
        net = load_net(name)
        assert net.input is not None
        for batch in BATCHES if max(net.input[:2]) <= SMALL_IMAGES else BATCHES_OF_LARGE:
            try:
                rows.append(measure(net, name, batch, seconds))
            except ValueError:  # batch normalisation of single values needs two images
                rows.append(measure(net, name, batch + 1, seconds))
            print(rows[-1].line(), flush=True)
    return rows


def report(rows: list[Row]) -> str:
    """Summary and table."""
    ratios = [row.ratio for row in rows]
    within = sum(abs(ratio - 1) <= BOUND for ratio in ratios)
    worst = max(rows, key=lambda row: abs(row.ratio - 1))
    return "\n".join((
        f"{within} of {len(rows)} predictions are within 30 % of the measured time; the worst is "
        f"{worst.net} at batch {worst.batch}, {worst.ratio:.2f} of it. The median ratio is "
        f"{statistics.median(ratios):.2f}. A prediction took "
        f"{statistics.median(row.asking for row in rows):.2f} s, at most "
        f"{max(row.asking for row in rows):.2f} s.",
        "",
        "| net | batch | predicted, ms | measured, ms | ratio | asking took, s |",
        "|---|---:|---:|---:|---:|---:|",
        *(row.line() for row in rows),
    ))  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", default=[entry.name for entry in zoo_nets()])
    parser.add_argument("--seconds", type=float, default=0.5, help="of timed steps, at least")
    options = parser.parse_args()
    rows = table(options.nets, options.seconds)
    print(write_result("step-time", "Time of a training step", report(rows)))
    return int(any(abs(row.ratio - 1) > BOUND for row in rows))


if __name__ == "__main__":
    sys.exit(main())
