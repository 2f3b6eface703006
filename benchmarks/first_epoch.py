"""Photos are decoded once: the first epoch from a folder against the second.

    python benchmarks/first_epoch.py FOLDER [--repeats 5]

The first epoch is all from the start of the job to the measurement of epoch 1: listing, checking,
decoding, statistics, and the first pass. The second is the second pass, with its measurement. Each
repeat has an empty cache folder. A small net, so that decoding dominates, and the default net for
comparison; status 1 if the small net's second epoch takes a third of its first one or more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time

from provenance import write_result

import striate
from striate.training.events import Events, Measurement

SMALL = "avgpool4 conv3-16 relu gap fc-5"


class Clock(Events):
    """Takes the time at the end of the decoding and of every epoch."""

    def __init__(self) -> None:
        self.decoded = 0.0
        self.epochs: list[float] = []

    def stored(self, done: int, total: int) -> None:
        self.decoded = time.perf_counter()

    def measured(self, measurement: Measurement) -> None:
        self.epochs.append(time.perf_counter())


def two_epochs(folder: str, net: str) -> tuple[float, float, float]:
    """Seconds to the end of the decoding, of the first epoch (from the start), of the second."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["STRIATE_CACHE"] = f"{scratch}/cache"
        start = time.perf_counter()
        settings = {"epochs": 2, "precision": "fp32"}
        striate.train(folder, net=net, out=f"{scratch}/run", settings=settings, events=clock)
    first, second = clock.epochs
    return clock.decoded - start, first - start, second - first


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    two_epochs("digits", "auto")  # loads what the first training of a process loads
    rows = [
        "| net | decoding done after, s | epoch 1, s | epoch 2, s | epoch 2 / epoch 1 |",
        "|---|---:|---:|---:|---:|",
    ]
    ratios = {}
    for net in (SMALL, "auto"):
        times = [two_epochs(options.folder, net) for _ in range(options.repeats)]
        decoding, first, second = (statistics.median(column) for column in zip(*times, strict=True))
        each = [later / earlier for _, earlier, later in times]
        ratios[net] = statistics.median(each)
        rows.append(
            f"| `{net}` | {decoding:.2f} | {first:.2f} | {second:.3f} | {ratios[net]:.3f} "
            f"({min(each):.3f} to {max(each):.3f}) |"
        )
    data = striate.load_data(options.folder)
    height, width, _ = data.images.shape[1:]
    body = (
        f"{len(data):,} photos of mixed sizes, brought to {height}x{width}. Medians of "
        f"{options.repeats} repeats, each with an empty cache; the last column has the range.\n\n"
        + "\n".join(rows)
    )
    print(body)
    print(
        write_result("first-epoch", "The first epoch from a folder of photos, and the second", body)
    )
    return 0 if ratios[SMALL] < 1 / 3 else 1


if __name__ == "__main__":
    sys.exit(main())
