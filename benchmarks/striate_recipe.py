"""Whole runs of Striate as an arm: `striate.train`, then `striate.evaluate` on the test images.

    python striate_recipe.py ARRAYS --net TEXT --settings JSON [--views 2] [--unsure 0.25]

Answers `{"seed": s}` with the accuracy, the seconds of training as the run reports them, those of
the evaluation, and the wall time of both with all that is around them: split, report, files.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
from serving import serve

import striate


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images, labels, test_images, test_labels")
    parser.add_argument("--net", default="auto")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the recipe, as JSON")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--unsure", type=float, default=1.0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with np.load(options.arrays) as arrays:
        names = ("images", "labels", "test_images", "test_labels")
        images, labels, test_images, test_labels = (arrays[name] for name in names)
    data = striate.Data.from_arrays(
        images, labels, test_images=test_images, test_labels=test_labels
    )

    def measure(seed: int) -> dict:
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            run = striate.train(
                data,
                net=options.net,
                recipe=options.recipe,
                seed=seed,
                device=options.device,
                out=f"{scratch}/run",
                settings=options.settings,
            )
            model = striate.load_model(run.path).to(options.device)
            trained = time.perf_counter()
            scores = striate.evaluate(model, data, views=options.views, unsure=options.unsure)
            end = time.perf_counter()
        return {
            "accuracy": scores.accuracy,
            "seconds": run.seconds,
            "test_seconds": end - trained,
            "wall_seconds": end - start,
        }

    serve(measure, "striate", "torch")


if __name__ == "__main__":
    main()
