"""Accuracy and time of the defaults on the named sets, over several seeds.

    python benchmarks/accuracy.py mnist --epochs 5 --seeds 3
    python benchmarks/accuracy.py fashion-mnist --epochs 10 --seeds 3
    python benchmarks/accuracy.py cifar10 --epochs 8 --validation 0 --views 2 --seeds 3

Each seed runs the command line, as a user would: `striate train`, then `striate evaluate --views`.
The seconds are those of training alone, as `train --json` reports them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

STRIATE = str(Path(sys.executable).parent / "striate")


def striate_json(*arguments: object) -> dict:
    """Run a command and read its JSON document."""
    command = [STRIATE, *map(str, arguments), "--json"]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(run.stdout)


def main() -> None:
    """Train and evaluate each seed, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--validation", type=float)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    choices: list[object] = []
    for name in ("epochs", "validation"):
        if (value := getattr(options, name)) is not None:
            choices += [f"--{name}", value]
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "run"
            run = striate_json("train", options.data, *choices, "--seed", seed, "--out", out)
            scores = striate_json("evaluate", out, "--views", options.views)
        accuracies.append(scores["accuracy"])
        seconds.append(run["seconds"])
        print(
            f"seed {seed}: {scores['accuracy']:.2%} with {options.views} view(s), "
            f"{run['test']['accuracy']:.2%} in the run, {run['seconds']:.0f} s",
            flush=True,
        )
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    print(
        f"{options.data}: mean {statistics.mean(accuracies):.2%}, spread {spread:.2%}, "
        f"median {statistics.median(seconds):.0f} s of training"
    )


if __name__ == "__main__":
    main()
