"""Depth with and without skips: plain and residual nets of 20 and 56 layers, trained alike.

    python benchmarks/plain_against_residual.py [--epochs 8] [--seeds 1] [--keep FOLDER]

The lectures' figure (He et al., arXiv:1512.03385, figures 1 and 6): on CIFAR-10 the deeper plain
net has the higher training error, the deeper residual net has not. The paper trains for 164 epochs;
this is a stated small budget with the paper's optimiser: momentum 0.9, rate 0.1, weight decay 1e-4,
batches of 128, mirrored and shifted images, He's initialisation, but a rate that falls linearly to
0, as the budget is too short for steps. Training error is that of the epoch's augmented images as
they are trained on, as in the paper. `--keep` leaves the runs in a folder, and goes on with what is
there, so that the whole can be stopped at any time. Writes `results/` and a picture of the curves.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from provenance import write_result

import striate

NETS = ("plain20", "plain56", "resnet20", "resnet56")
SETTINGS = {
    "batch_size": 128,
    "data.validation": 0,
    "initialize.name": "he",
    "optimizer.name": "momentum",
    "optimizer.lr": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "schedule.name": "linear",
    "loss.label_smoothing": 0.0,
    "augment.flip": "random",
    "augment.translate": 4,
}


def train(net: str, seed: int, epochs: int, folder: Path) -> Path:
    """The finished run of a net: a new one, one gone on with, or one that was there."""
    path = folder / f"{net}-{seed}"
    if (path / "report.html").exists():
        return path
    if (path / "run.json").exists():
        return striate.resume(path).path
    return striate.train(
        "cifar10", net=net, seed=seed, out=path, settings={**SETTINGS, "epochs": epochs}
    ).path


def training_errors(run: Path) -> list[float]:
    """Training error of each epoch, in percent."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [100 * (1 - json.loads(line)["train_accuracy"]) for line in lines]


def test_error(run: Path) -> float:
    """Error on the test images after the last epoch, in percent."""
    document = json.loads((run / "evaluation.json").read_text())
    return 100 * (1 - document["test"]["accuracy"])


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """The training errors of each net by epoch, plain left and residual right."""
    mpl.use("agg")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, kind in zip(axes, ("plain", "resnet"), strict=True):
        for layers, colour in (("20", "tab:orange"), ("56", "tab:blue")):
            for number, errors in enumerate(curves[kind + layers]):
                label = f"{layers} layers" if number == 0 else None
                axis.plot(range(1, len(errors) + 1), errors, color=colour, label=label)
        axis.set_title("plain" if kind == "plain" else "residual")
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylabel("training error, %")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def table(curves: dict[str, list[list[float]]], tests: dict[str, list[float]]) -> str:
    """Mean and spread of the last epoch's training error and of the test error."""
    rows = ["| net | training error | test error |", "|---|---:|---:|"]
    for net in NETS:
        last = [errors[-1] for errors in curves[net]]
        rows.append(f"| {net} | {_mean(last)} | {_mean(tests[net])} |")
    rows += ["", "Training error by epoch, in percent:", ""]
    for net in NETS:
        for seed, errors in enumerate(curves[net]):
            rows.append(f"- {net}, seed {seed}: " + ", ".join(f"{e:.1f}" for e in errors))
    return "\n".join(rows)


def _mean(values: list[float]) -> str:
    spread = f" (spread {statistics.stdev(values):.2f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f} %{spread}"


def main() -> None:
    """Train all four nets for each seed, print the table, write it and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder of the runs, to go on with")
    options = parser.parse_args()
    curves: dict[str, list[list[float]]] = {net: [] for net in NETS}
    tests: dict[str, list[float]] = {net: [] for net in NETS}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            for net in NETS:
                run = train(net, seed, options.epochs, options.keep or Path(scratch))
                curves[net].append(training_errors(run))
                tests[net].append(test_error(run))
                print(net, seed, [f"{e:.1f}" for e in curves[net][-1]], flush=True)
    body = table(curves, tests)
    print(body)
    path = write_result("plain-against-residual", "Depth with and without skips", body)
    draw(curves, path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
