"""Time to a stated accuracy on the test images, mean over seeds, against the peers' own examples.

    python benchmarks/time_to_accuracy.py [--only NAME ...] [--seeds 5] [--peers PYTHON] [--quick]
    python benchmarks/time_to_accuracy.py --device cuda --seeds 20 --peer-seeds 20

`GOALS` says with which net and settings Striate goes for each target; plain PyTorch runs the same
recipe (peers/pytorch_whitened.py). On MNIST scikit-learn's MLP, with the settings of its own page,
and the published examples of PyTorch and Keras run too: these are measured after every epoch, and
stopped once they reach the highest target. The arms take turns, seed by seed, each in a process
with two threads. The seconds are those of training, from weights and images that are ready, and
beside them those of the evaluation. On a GPU both arms also run through PyTorch's compiler, and a
first run of each, which compiles, is not counted.

NAME is a data set, a goal or a part of an arm's name. Every finished run is kept in `--runs`, a
file of JSON lines, and not repeated by a later call on such a machine with the same settings:
delete the file, or name another, to measure anew. Status 1 if Striate's mean is below a target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from arms import Answer, Arm, running, versions_line
from provenance import FOLDER, current_commit, machine_name, write_result

import striate
from striate.data import TEST, TRAIN

QUICK_IMAGES, QUICK_BATCH = 512, 128
WARM_UP = 1_000_000  # a seed that is none of those counted
PUBLISHED_TARGETS = (0.99, 0.995)


@dataclass(frozen=True)
class Goal:
    """A target, and the recipe that Striate and plain PyTorch go for it with.

    Args:
        data: The data set.
        target: The accuracy.
        widths: Kernels of the whitened net's groups.
        epochs: E.
        batch: Images of a step.
        flip: "alternating" or "none".
        translate: The largest shift in pixels.
        label_smoothing: Of the loss.
        views: Of each test image: 1, 2 or 6.
        unsure: The share of test images, the least sure ones, that is seen in all views.
        precision: Of both.
        device: What both train on, "cpu" or "cuda".
        net: Another net for Striate than the whitened one; PyTorch then runs nothing.
        settings: More settings of Striate's recipe, which PyTorch does without.
    """

    data: str
    target: float
    widths: tuple[int, ...]
    epochs: int
    batch: int = 1000
    flip: str = "none"
    translate: int = 2
    label_smoothing: float = 0.2
    views: int = 1
    unsure: float = 1.0
    precision: str = "fp32"
    device: str = "cpu"
    net: str = ""
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the goal, as in `--only`."""
        return f"{self.data}-{100 * self.target:g}"

    def arms(self, arrays: Path) -> list[Arm]:
        """Our arm first; on a GPU, each with PyTorch's compiler too."""
        ways = (False, True) if self.device != "cpu" else (False,)
        arms = [self.striate(arrays, compiled=compiled) for compiled in ways]
        if not self.net:
            arms += [self.pytorch(arrays, compiled=compiled) for compiled in ways]
        return arms

    def striate(self, arrays: Path, *, compiled: bool = False) -> Arm:
        """Our arm."""
        settings = {
            "epochs": self.epochs,
            "batch_size": self.batch,
            "precision": self.precision,
            "augment.flip": self.flip,
            "augment.translate": self.translate,
            "loss.label_smoothing": self.label_smoothing,
            "data.validation": 0.0,
            **self.settings,
            **({"kernels": "compiled"} if compiled else {}),
        }
        chosen = ("--net", self.net or whitened(self.widths), "--views", self.views)
        chosen = (*chosen, "--unsure", self.unsure, *self._where)
        arguments = (arrays, *chosen, "--settings", json.dumps(settings))
        return self._arm("Striate", "striate_recipe.py", arguments, compiled)

    def pytorch(self, arrays: Path, *, compiled: bool = False) -> Arm:
        """The same recipe in plain PyTorch."""
        recipe = {
            "widths": self.widths,
            "epochs": self.epochs,
            "batch": self.batch,
            "flip": self.flip == "alternating",
            "translate": self.translate,
            "label_smoothing": self.label_smoothing,
            "views": self.views,
            "unsure": self.unsure,
            "precision": self.precision,
        }
        arguments = (arrays, "--recipe", json.dumps(recipe), *self._where)
        if compiled:
            arguments = (*arguments, "--compile")
        return self._arm("PyTorch, same recipe", "peers/pytorch_whitened.py", arguments, compiled)

    @property
    def _where(self) -> tuple[str, ...]:
        return ("--device", self.device) if self.device != "cpu" else ()

    def _arm(self, name: str, script: str, arguments: Sequence[object], compiled: bool) -> Arm:
        name += ", compiled" * compiled
        return Arm(name, script, arguments, sees_gpu=self.device != "cpu")


def whitened(widths: tuple[int, ...]) -> str:
    """The text of the whitened net, for images of 28 or 32 pixels and three groups."""
    norm = "bnw0m0.4 gelu"
    groups = (f"conv3-{n}b0 maxpool2 {norm} conv3-{n}b0 {norm}" for n in widths)
    return f"whiten2 gelu {' '.join(groups)} maxpool3 fc-10b0 scale1/{widths[-1]}"


# Convolutions without normalisation, which run as one operator, from PyTorch's initial weights.
SMALL = "conv5-6p0 relu maxpool2 conv5-16p0 relu maxpool2 fc-64 relu fc-10"
WIDER = "conv5-16p0 relu maxpool2 conv5-32p0 relu maxpool2 fc-128 relu fc-10"
FAST = {"initialize.name": "torch", "optimizer.lr": 0.6, "optimizer.momentum": 0.8}
SLOW = {"initialize.name": "torch", "optimizer.lr": 0.3, "optimizer.momentum": 0.9}
MIRRORED = {"flip": "alternating", "views": 2, "precision": "bf16"}
SEEN_ALL_AGAIN = MIRRORED | {"views": 6}
SEEN_AGAIN = SEEN_ALL_AGAIN | {"unsure": 0.25}
GOALS = (
    Goal("mnist", 0.99, (), 1, 512, translate=0, label_smoothing=0.05, net=SMALL, settings=FAST),
    Goal("mnist", 0.995, (), 3, 256, translate=1, label_smoothing=0.1, net=WIDER, settings=SLOW),
    Goal("fashion-mnist", 0.93, (32, 64, 64), 4, batch=500, **SEEN_AGAIN),
    Goal("cifar10", 0.90, (32, 64, 128), 5, **MIRRORED),
    Goal("cifar10", 0.93, (64, 128, 128), 8, **MIRRORED),
    Goal("cifar10", 0.94, (64, 256, 256), 9, **SEEN_AGAIN),
    Goal("cifar10", 0.94, (64, 256, 256), 9, batch=2000, device="cuda", **SEEN_ALL_AGAIN),
)


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Args:
        name: The goal, or the published example.
        arm: What runs.
        target: What the goal is; None for the peers' own examples.
        until: Where an example may stop.
        most: Seeds at most.
    """

    name: str
    arm: Arm
    target: float | None = None
    until: float | None = None
    most: int = 1_000

    @property
    def key(self) -> str:
        """What a kept run is told by: all but the place of the arrays."""
        return f"{self.name}: {self.arm.name} {' '.join(map(str, self.arm.arguments[1:]))}"

    def request(self, seed: int) -> dict:
        """For the arm."""
        return {"seed": seed} | ({} if self.until is None else {"until": self.until})


def entries(data: str, arrays: Path, options: argparse.Namespace) -> list[Entry]:
    """All rows of a data set that were asked for."""
    found = []
    for goal in (shortened(goal) if options.quick else goal for goal in GOALS):
        if (goal.data, goal.device) != (data, options.device):
            continue
        for arm in goal.arms(arrays):
            most = {} if is_ours(arm.name) else {"most": options.peer_seeds}
            found.append(Entry(goal.name, arm, goal.target, **most))
    if (data, options.device) == ("mnist", "cpu"):
        found += published(arrays, options)
    return [entry for entry in found if wanted(entry, data, options.only)]


def is_ours(name: str) -> bool:
    """Whether an arm of that name is Striate, in whatever way."""
    return name.startswith("Striate")


def published(arrays: Path, options: argparse.Namespace) -> list[Entry]:
    """The peers' own examples on MNIST."""
    short = ("--epochs", 1) if options.quick else ()
    until, most = PUBLISHED_TARGETS[-1], options.peer_seeds
    sklearn = Arm("scikit-learn, its example", "peers/sklearn_mlp.py", (arrays,), options.peers)
    pytorch = Arm("PyTorch, its example", "peers/pytorch_mnist.py", (arrays, *short))
    keras = Arm(
        "Keras, its example", "peers/keras_mnist.py", (arrays, *short), python=options.peers
    )
    return [
        Entry("mnist-97", sklearn, 0.97),
        Entry("mnist", pytorch, until=until, most=most),
        Entry("mnist", keras, until=until, most=most),
    ]


def shortened(goal: Goal) -> Goal:
    """One small epoch, for `--quick`."""
    return Goal(**{**vars(goal), "epochs": 1, "batch": QUICK_BATCH})


def wanted(entry: Entry, data: str, only: Iterable[str]) -> bool:
    """Whether a row was asked for."""
    return not only or any(
        word in (data, entry.name) or word.lower() in entry.arm.name.lower() for word in only
    )


def write_arrays(name: str, path: Path, *, images: int | None) -> None:
    """Write a data set as the peers read it; the first images alone if a number is given."""
    data = striate.load_data(name)
    parts = {}
    for prefix, split in (("", TRAIN), ("test_", TEST)):
        places = data.indices(split)
        if not len(places):  # a source without validation images leaves the rest unassigned
            places = np.flatnonzero(data.splits != TEST)
        parts[f"{prefix}images"] = data.images[places[:images]]
        parts[f"{prefix}labels"] = data.labels[places[:images]]
    np.savez(path, **parts)


class Kept:
    """The finished runs, a JSON line each; those of other machines are left alone."""

    def __init__(self, path: Path, machine: str) -> None:
        self.path = path
        self.machine = machine
        lines = path.read_text().splitlines() if path.exists() else []
        self._runs = {
            (run["key"], run["seed"]): run
            for run in map(json.loads, lines)
            if run["machine"] == machine
        }

    def __contains__(self, place: tuple[str, int]) -> bool:
        """Whether the run of that key and seed is finished."""
        return place in self._runs

    def add(self, key: str, seed: int, answer: Answer) -> None:
        """Keep a run."""
        run = {"key": key, "seed": seed, "answer": answer}
        run |= {"commit": current_commit(), "machine": self.machine}
        self._runs[key, seed] = run
        with self.path.open("a") as file:
            file.write(json.dumps(run) + "\n")

    def of(self, entry: Entry, seeds: int) -> list[Answer]:
        """What the runs of an entry gave, by seed."""
        return [run["answer"] for run in self._of(entry, seeds)]

    def commits(self, entries: Iterable[Entry], seeds: int) -> str:
        """Of the runs of some entries, in a sentence."""
        found = {run["commit"] for entry in entries for run in self._of(entry, seeds)}
        return f"Measured at: {', '.join(sorted(found))}."

    def _of(self, entry: Entry, seeds: int) -> list[dict]:
        places = ((entry.key, seed) for seed in range(min(seeds, entry.most)))
        return [self._runs[place] for place in places if place in self._runs]


def run_missing(rows: list[Entry], kept: Kept, options: argparse.Namespace) -> str:
    """Run what is not kept, the entries in turn for each seed; returns the versions."""
    due = {
        entry.key: [s for s in range(min(options.seeds, entry.most)) if (entry.key, s) not in kept]
        for entry in rows
    }
    rows = [entry for entry in rows if due[entry.key]]
    if not rows:
        return ""
    # an arm's name tells it apart from others of the same kind
    arms = [Arm(**{**vars(entry.arm), "name": entry.key}) for entry in rows]
    with running(arms, threads=options.threads) as started:
        by_key = {arm.name: arm for arm in started}
        if options.device != "cpu":  # libraries choose and compile in a first run
            for arm in started:
                arm.measure(seed=WARM_UP)
        for seed in range(options.seeds):
            for entry in rows[:: -1 if seed % 2 else 1]:
                if seed not in due[entry.key] or entry.key not in by_key:
                    continue
                answer = by_key[entry.key].measure(**entry.request(seed))
                kept.add(entry.key, seed, answer)
                print(
                    f"{entry.name}, {entry.arm.name}, seed {seed}: "
                    f"{answer['accuracy']:.2%} after {answer['seconds']:.1f} s",
                    flush=True,
                )
        return versions_line(started)


def line(entry: Entry, runs: list[Answer]) -> str:
    """A row of the table."""
    accuracies = [run["accuracy"] for run in runs]
    spread = f"{100 * statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
    seconds = statistics.median(run["seconds"] for run in runs)
    test = [run["test_seconds"] for run in runs if "test_seconds" in run]
    tested = f"{statistics.median(test):.2f}" if test else ""
    target = "" if entry.target is None else f"{100 * entry.target:g}"
    mean = 100 * statistics.mean(accuracies)
    return (
        f"| {entry.name} | {entry.arm.name} | {target} | {mean:.2f} | {spread} | {len(runs)} | "
        f"{seconds:.2f} | {tested} |{reached(runs)} |"
    )


def reached(runs: list[Answer]) -> str:
    """When an example's runs first reached the targets."""
    said = []
    for target in PUBLISHED_TARGETS:
        times = [
            next((s for s, accuracy in run["curve"] if accuracy >= target), None)
            for run in runs
            if "curve" in run
        ]
        there = [seconds for seconds in times if seconds is not None]
        if there:
            said.append(f"{100 * target:g} % after {statistics.median(there):.0f} s")
        elif times:
            said.append(f"{100 * target:g} % not reached")
    return f" {', '.join(said)}" if said else ""


def ratios(rows: list[tuple[Entry, list[Answer]]]) -> list[str]:
    """What part of a peer's time Striate takes, with the evaluation of both: medians."""
    times = {
        (entry.name, entry.arm.name): statistics.median(
            run["seconds"] + run.get("test_seconds", 0.0) for run in runs
        )
        for entry, runs in rows
    }
    said = []
    for (goal, arm), seconds in times.items():
        for (other, peer), longer in times.items():
            same = goal == other or (goal.startswith("mnist-") and other == "mnist-97")
            if is_ours(arm) and not is_ours(peer) and same:
                part = f"{seconds / longer:.2f} of the time of {peer}"
                said.append(f"- {goal}, {arm}: {part} ({other})")
    return said


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer-seeds", type=int, default=1, help="of the slow peers, at most")
    parser.add_argument("--peers", default=sys.executable, help="a Python with Keras")
    parser.add_argument("--runs", type=Path, default=FOLDER / "results/time-to-accuracy.jsonl")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here")
    with tempfile.TemporaryDirectory() as scratch:
        if options.quick:
            options.seeds, options.runs = 1, Path(scratch) / "runs.jsonl"
        kept = Kept(options.runs, machine_name(options.device))
        found, missed, versions = [], False, ""
        for data in dict.fromkeys(goal.data for goal in GOALS):
            arrays = Path(scratch) / f"{data}.npz"
            rows = entries(data, arrays, options)
            if not rows:
                continue
            write_arrays(data, arrays, images=QUICK_IMAGES if options.quick else None)
            versions = run_missing(rows, kept, options) or versions
            arrays.unlink()
            for entry in rows:
                if runs := kept.of(entry, options.seeds):
                    found.append((entry, runs))
                    mean = statistics.mean(run["accuracy"] for run in runs)
                    missed |= is_ours(entry.arm.name) and mean < (entry.target or 0)
    body = "\n".join((
        "| goal | arm | target, % | accuracy, mean % | spread | seeds | training, s | test, s | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
        *(line(entry, runs) for entry, runs in found),
        "",
        *ratios(found),
        "",
        kept.commits((entry for entry, _ in found), options.seeds),
        versions,
    ))  # fmt: skip
    print(body)
    if options.quick:
        return 0
    title = "Time to a stated accuracy"
    print(write_result("time-to-accuracy", title, body, device=options.device))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
