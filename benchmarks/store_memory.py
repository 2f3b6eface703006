"""Train from a store that is larger than memory may be, and watch the memory of the process.

    python benchmarks/store_memory.py [--gigabytes 4] [--limit 1.5]

Makes a synthetic store of decoded images, uint8 (N, 96, 96, 3), and trains a small net on it for an
epoch in a process of its own, through the whole job: hashing, split, statistics, training,
validation, test, report. The process's resident memory is sampled all the while: what it has
allocated, and the pages of the store that it holds. This is a stricter measure than a limit by the
system, which counts a mapped page only until it takes it back. Status 1 if the peak is above the
limit. A second process reads the same store without letting its pages go, for comparison.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from provenance import write_result

import striate
from striate.data import memory
from striate.training.events import Events, Progress

SIDE, CLASSES = 96, 4
CHUNK = 2048  # images that are made at once
NET = "avgpool4 conv3-16 relu maxpool2 conv3-32 relu gap fc-4"
SAMPLED_EVERY = 0.05  # seconds


def make_store(path: Path, gigabytes: float) -> int:
    """Write noisy images whose class is in their colours; returns their number."""
    count = int(gigabytes * 1e9) // (SIDE * SIDE * 3)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 128, (CHUNK, SIDE, SIDE, 3), dtype=np.uint8)
    tints = np.array([[100, 0, 0], [0, 100, 0], [0, 0, 100], [60, 60, 60]], np.uint8)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE, SIDE, 3)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, CHUNK):
            places = np.arange(start, min(start + CHUNK, count))
            images = noise[: len(places)] + tints[places % CLASSES, None, None]
            # a number in the corner, so that no two images are equal
            images[:, 0, :8, 0] = places[:, None] >> np.arange(0, 32, 4) & 15
            file.write(images.data)
    return count


class Sampler:
    """Reads the resident memory of this process now and then, in a thread."""

    def __init__(self) -> None:
        self.stage = "start"
        self.samples: list[tuple[float, str, float, float]] = []
        self._begun = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            kept = read_status()
            seconds = time.monotonic() - self._begun
            self.samples.append((seconds, self.stage, kept["RssAnon"], kept["RssFile"]))
            time.sleep(SAMPLED_EVERY)


def read_status() -> dict[str, float]:
    """Megabytes (10^6) of each kind of memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(kilobytes) * 1024 / 1e6 for name, kilobytes, _ in fields}


def train_and_watch(store: Path, *, letting_go: bool) -> dict[str, Any]:
    """The whole job on the store; what the memory was at each stage."""
    if not letting_go:
        memory.MOST_HELD = 1 << 62
    sampler = Sampler()

    class Stages(Events):
        def progress(self, progress: Progress) -> None:
            sampler.stage = f"training, {20 * int(5 * progress.done)} %"

        def measured(self, _: Any) -> None:
            sampler.stage = "calibration, evaluation, report"

    sampler.stage = "hashing, statistics"
    images = np.load(store, mmap_mode="r", allow_pickle=False)
    data = striate.load_data((images, np.arange(len(images)) % CLASSES))
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"epochs": 1, "batch_size": 500, "precision": "fp32"}
        run = striate.train(data, net=NET, out=f"{scratch}/run", settings=settings, events=Stages())
    return {
        "peak": read_status()["VmHWM"],
        "accuracy": run.test["accuracy"] if run.test else None,
        "samples": sampler.samples,
    }


def in_a_process_of_its_own(store: Path, *arguments: str) -> dict[str, Any]:
    """Run this script on the store as a child that only measures."""
    command = [sys.executable, __file__, "--measure", str(store), *arguments]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(made.stdout))


def table(samples: list[list[Any]]) -> str:
    """A row a stage: when it began, and the most memory during it."""
    stages: dict[str, list[list[Any]]] = {}
    for sample in samples:
        stages.setdefault(sample[1], []).append(sample)
    rows = [
        "| stage | from second | allocated, MB | of files, MB | most together, MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage, taken in stages.items():
        allocated, mapped = (max(sample[kind] for sample in taken) for kind in (2, 3))
        together = max(sample[2] + sample[3] for sample in taken)
        rows.append(
            f"| {stage} | {taken[0][0]:.0f} | {allocated:.0f} | {mapped:.0f} | {together:.0f} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of the store, in 10^9 bytes")
    parser.add_argument("--limit", type=float, default=1.5, help="of the process, in 10^9 bytes")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(train_and_watch(options.measure, letting_go=not options.keep)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "images.npy"
        count = make_store(store, options.gigabytes)
        found = in_a_process_of_its_own(store)
        kept = in_a_process_of_its_own(store, "--keep")
    good = found["peak"] <= options.limit * 1000
    body = (
        f"A store of {options.gigabytes:g} GB, {count:,} images of {SIDE}x{SIDE}x3, one epoch of "
        f"`{NET}` in batches of 500 (test accuracy {found['accuracy']:.1%}). Memory is what "
        "`/proc/self/status` names RssAnon (allocated) and RssFile (pages of the store, of "
        "libraries), sampled 20 times a second.\n\n"
        f"**Peak (VmHWM): {found['peak']:.0f} MB, {'within' if good else 'ABOVE'} the limit of "
        f"{options.limit * 1000:.0f} MB.** The same job that keeps the pages that it has read: "
        f"{kept['peak']:.0f} MB.\n\n{table(found['samples'])}\n"
    )
    print(body)
    print(write_result("store-memory", "Memory while training from a store larger than it", body))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
