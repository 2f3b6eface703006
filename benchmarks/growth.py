"""How the time and the memory of training grow, one thing at a time.

    python benchmarks/growth.py [AXIS ...] [--quick]

AXIS is images, size, width, classes or threads; all of them if none is named. Each point is a
training of its own, through Striate's real loop, fp32: two groups of [conv3-32 relu conv3-32 relu
maxpool2] on 32x32x3 with a mean over the map and a head for 10 classes, batches of 64, 1,024
images; one of these differs along an axis. The points of an axis take turns. The time is the median
of an epoch, shared out to its images but for the axis of images, where it is the whole; the memory
is the most that the process has held, beyond what a training of 64 small images holds: this is what
the libraries take. The exponent is the slope of
a straight line through the logarithms: 1 is growth in proportion.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from arms import Arm, alternate, limits, running
from provenance import write_result

BATCH, QUICK_BATCH = 64, 16


@dataclass(frozen=True)
class Point:
    """One training.

    Args:
        images: In memory.
        size: Height and width in pixels.
        width: Kernels of each convolution.
        classes: K.
        threads: Of the process.
    """

    images: int = 1024
    size: int = 32
    width: int = 32
    classes: int = 10
    threads: int = 2

    @property
    def net(self) -> str:
        """The net's text."""
        group = f"[conv3-{self.width} relu]*2 maxpool2"
        return f"[{group}]*2 gap fc-{self.classes}"

    def write(self, path: Path) -> None:
        """Noise with labels: what is learned does not matter here."""
        generator = np.random.default_rng(0)
        shape = (self.images, self.size, self.size, 3)
        images = generator.integers(0, 256, shape, dtype=np.uint8)
        np.savez(path, images=images, labels=np.arange(self.images) % self.classes)

    def arm(self, name: str, arrays: Path, batch: int) -> Arm:
        """The process that trains."""
        settings = {"batch_size": batch, "precision": "fp32", "optimizer.lr": 0.001}
        chosen = ("--net", self.net, "--recipe", "lecture", "--settings", json.dumps(settings))
        return Arm(name, "striate_arm.py", (arrays, *chosen), environment=limits(self.threads))


AXES = {
    "images": (1024, 2048, 4096, 8192, 16384),
    "size": (16, 32, 64, 128),
    "width": (16, 32, 64, 128, 256),
    "classes": (10, 100, 1000),
    "threads": (1, 2),
}
LEAST = Point(images=64, size=16, width=8)
SMALLEST = 0.1  # MB: differences below it are those of the allocator


def measure(axis: str, options: argparse.Namespace) -> str:
    """The table of an axis."""
    base, batch = (LEAST, QUICK_BATCH) if options.quick else (Point(), BATCH)
    values = AXES[axis]
    if options.quick:
        values = (1, 2) if axis == "threads" else (getattr(base, axis), 2 * getattr(base, axis))
    points = [replace(base, **{axis: value}) for value in values]
    with tempfile.TemporaryDirectory() as scratch:
        arms = []
        for name, point in [("least", LEAST), *zip(map(str, values), points, strict=True)]:
            arrays = Path(scratch) / f"{name}.npz"
            point.write(arrays)
            arms.append(point.arm(name, arrays, batch))
        with running(arms) as started:
            answers = alternate(started, options.rounds, {"images": 1})  # one epoch
    least = answers.pop("least")[-1]["peak_mb"]
    whole = axis == "images"
    unit = "epoch, s" if whole else "an image, ms"
    times, peaks = [], []
    lines = [f"| {axis} | {unit} | range | peak memory, MB |", "|---:|---:|---:|---:|"]
    for value, each in zip(values, answers.values(), strict=True):
        share = 1.0 if whole else 1e3 / each[0]["images"]
        seconds = [share * answer["seconds"] for answer in each]
        times.append(statistics.median(seconds))
        peaks.append(max(SMALLEST, each[-1]["peak_mb"] - least))
        span = f"{min(seconds):.3g} to {max(seconds):.3g}"
        lines.append(f"| {value:,} | {times[-1]:.3g} | {span} | {peaks[-1]:,.0f} |")
    fitted = f"Exponents: time {exponent(values, times):.2f}, memory {exponent(values, peaks):.2f}."
    return "\n".join((*lines, "", fitted))


def exponent(values: tuple[int, ...], figures: list[float]) -> float:
    """The slope of the logarithms."""
    return float(np.polyfit(np.log(values), np.log(figures), 1)[0])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("axes", nargs="*", choices=[*AXES, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    body = []
    for axis in options.axes or AXES:
        body.append(f"## {axis}\n\n{measure(axis, options)}\n")
        print(body[-1], flush=True)
    if not options.quick:
        print(write_result("growth", "How time and memory grow", "\n".join(body)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
