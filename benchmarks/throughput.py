"""Training throughput against PyTorch, Keras, JAX and scikit-learn, in one run.

    python benchmarks/throughput.py [NET ...] [--peers PYTHON] [--compile] [--fp32] [--quick]

NET is lenet5, lenet5-64, lenet5-1024 (LeNet-5 on 28x28 at batch 256, 64, 1024, fp32), mlp50 (50
hidden units, fp32), default (the net and the recipe for CIFAR-10, bf16) or resnet18 (its form for
32x32, batch 128, bf16); all of them if none is named. The images are synthetic and the same for
all. `--fp32` trains all in fp32, for processors that do not multiply bf16; aims are for bf16. Each
arm is a process with two threads; they measure in turn, a block of some seconds each, and sleep in
between. Images a second are medians over the blocks; a ratio is the median of those within each
round. `--peers` names the Python that has Keras, JAX and scikit-learn: peers/README.md says how to
make it. Status 1 if a net is not as many times as fast as the best peer as is aimed at.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from arms import Arm, RunningArm, alternate, median_ratio, rates, running, versions_line
from provenance import write_result

CLASSES = 10
QUICK_BATCH = 32
WITHOUT = "Striate without its kernels"


@dataclass(frozen=True)
class Setting:
    """What is trained, and how.

    Args:
        net: As the peers call it.
        ours: As Striate does.
        shape: Of an image.
        images: In memory, and in a block of Striate's.
        batch: Images of a step.
        recipe: Striate's.
        precision: The product's; peers with another are there to see whether it helps them.
        rate: Of SGD.
        momentum: Of SGD.
        aim: Times the throughput of the best peer.
        recipe_settings: Other settings of Striate's recipe.
    """

    net: str
    ours: str
    shape: tuple[int, int, int]
    images: int
    batch: int
    recipe: str = "lecture"
    precision: str = "fp32"
    rate: float = 0.1
    momentum: float = 0.0
    aim: float = 0.0
    recipe_settings: dict[str, object] = field(default_factory=dict)

    def striate(self, arrays: Path, name: str = "Striate", **more: object) -> Arm:
        """Our arm, perhaps with more settings of the recipe."""
        settings = {
            "batch_size": self.batch,
            "precision": self.precision,
            **self.recipe_settings,
            **more,
        }
        if self.recipe == "lecture":
            optimizer = "momentum" if self.momentum else "sgd"
            settings |= {"optimizer.name": optimizer, "optimizer.lr": self.rate}
        if self.momentum:
            settings |= {"optimizer.momentum": self.momentum}
        arguments = (arrays, "--net", self.ours, "--recipe", self.recipe)
        arguments += ("--settings", json.dumps(settings))
        return Arm(f"{name}, {self.precision}", "striate_arm.py", arguments)

    def peers(self, arrays: Path, python: str, compiled: bool) -> list[Arm]:
        """All other arms."""
        precisions = ("fp32", "bf16") if self.precision == "bf16" else ("fp32",)
        arms = []
        for precision in precisions:
            usual = self._arguments(arrays, precision)
            arms.append(self._pytorch(arrays, precision))
            arms.append(
                Arm(f"Keras (TensorFlow), {precision}", "peers/keras_nets.py", usual, python)
            )
            arms.append(Arm(f"JAX (flax), {precision}", "peers/jax_nets.py", usual, python))
        if compiled:
            arms.append(self._pytorch(arrays, self.precision, "--compile"))
        if self.net == "mlp50":
            usual = (arrays, "--batch", self.batch)
            arms.append(Arm("scikit-learn, fp32", "peers/sklearn_mlp.py", usual, python))
        return arms

    def _pytorch(self, arrays: Path, precision: str, *more: str) -> Arm:
        name = f"PyTorch, {precision}" + ", compiled" * bool(more)
        if self.net == "whitened":
            recipe = json.dumps({"batch": self.batch, "precision": precision})
            return Arm(name, "peers/pytorch_whitened.py", (arrays, "--recipe", recipe, *more))
        arguments = (*self._arguments(arrays, precision), *more)
        return Arm(name, "peers/pytorch_nets.py", arguments)

    def _arguments(self, arrays: Path, precision: str) -> tuple[object, ...]:
        chosen = ("--net", self.net, "--batch", self.batch, "--precision", precision)
        return (arrays, *chosen, "--rate", self.rate, "--momentum", self.momentum)


def lenet5(batch: int, aim: float = 0.0) -> Setting:
    """LeNet-5 at that batch size."""
    return Setting("lenet5", "lenet5", (28, 28, 1), 60_000, batch, aim=aim)


SETTINGS = {
    "lenet5": lenet5(256, aim=3.0),
    "lenet5-64": lenet5(64),
    "lenet5-1024": lenet5(1024),
    "mlp50": Setting("mlp50", "mlp50", (28, 28, 1), 60_000, 200),
    "default": Setting(
        "whitened",
        "auto",
        (32, 32, 3),
        8000,
        1000,
        recipe="fast",
        precision="bf16",
        rate=0.05,
        aim=2.0,
        # what is chosen for CIFAR-10, whose images may be mirrored
        recipe_settings={"augment.flip": "alternating", "augment.translate": 2},
    ),
    "resnet18": Setting(
        *("resnet18", "resnet18", (32, 32, 3), 1280, 128),
        precision="bf16",
        rate=0.05,
        momentum=0.9,
        aim=1.5,
    ),
}


def make_images(setting: Setting, path: Path) -> None:
    """Write noisy images of ten classes, each with a pattern of its own."""
    generator = np.random.default_rng(0)
    labels = np.arange(setting.images) % CLASSES
    patterns = generator.integers(0, 128, (CLASSES, *setting.shape), dtype=np.uint8)
    noise = generator.integers(0, 128, (setting.images, *setting.shape), dtype=np.uint8)
    np.savez(path, images=patterns[labels] + noise, labels=labels)


def measure(setting: Setting, options: argparse.Namespace) -> tuple[list[str], float]:
    """The lines of one table, and how many times as fast as the best peer we are."""
    if options.quick:
        batch = min(setting.batch, QUICK_BATCH)
        setting = replace(setting, batch=batch, images=4 * batch)
    with tempfile.TemporaryDirectory() as scratch:
        arrays = Path(scratch) / "images.npz"
        make_images(setting, arrays)
        arms = [
            setting.striate(arrays),
            setting.striate(arrays, WITHOUT, kernels="off"),
            *setting.peers(arrays, options.peers, options.compile),
        ]
        with running(arms, threads=options.threads) as started:
            request = {"images": setting.images, "seconds": options.seconds}
            answers = alternate(started, options.rounds, request)
            figures = {name: rates(each) for name, each in answers.items()}
            return table(setting, started, figures)


def table(
    setting: Setting, arms: list[RunningArm], figures: dict[str, list[float]]
) -> tuple[list[str], float]:
    """A line an arm, best first; and our ratio to the best of the others."""
    ours = arms[0].name
    ordered = sorted(figures, key=lambda name: -statistics.median(figures[name]))
    lines = [
        "| arm | images/s | range | Striate is so many times as fast |",
        "|---|---:|---:|---:|",
    ]
    for name in ordered:
        middle = statistics.median(figures[name])
        low, high = min(figures[name]), max(figures[name])
        ratio = "" if name == ours else f"{median_ratio(figures[ours], figures[name]):.2f}"
        lines.append(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} | {ratio} |")
    others = [name for name in ordered if name != ours and not name.startswith(WITHOUT)]
    best = median_ratio(figures[ours], figures[others[0]]) if others else float("inf")
    aim = f", aimed at {setting.aim:g}" if setting.aim else ""
    lines += [
        "",
        f"Striate against the best of the others: {best:.2f}{aim}. {versions_line(arms)}.",
    ]
    return lines, best


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", choices=[*SETTINGS, []], default=[])
    parser.add_argument("--peers", default=sys.executable, help="a Python with Keras and JAX")
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiler too")
    parser.add_argument("--fp32", action="store_true", help="for processors without bf16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a peer's block, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    body, missed = [], False
    for name in options.nets or SETTINGS:
        setting = SETTINGS[name]
        if options.fp32:
            setting = replace(setting, precision="fp32", aim=setting.aim * (name == "lenet5"))
        lines, ratio = measure(setting, options)
        height, width, channels = setting.shape
        title = f"## {name}: {height}x{width}x{channels}, batch {setting.batch}"
        body += [title, "", *lines, ""]
        print("\n".join([title, "", *lines, ""]), flush=True)
        missed |= ratio < setting.aim
    if options.quick:
        return 0
    threads = f"Two threads each, {options.rounds} rounds." if options.threads == 2 else ""
    name = "throughput-fp32" if options.fp32 else "throughput"
    print(write_result(name, "Training throughput", "\n".join([threads, "", *body])))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
