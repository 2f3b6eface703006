"""Striate's training loop as an arm: `striate.train`, held at the end of an epoch.

The events of a run wait there for the next request, so that a block is an epoch, or several, of the
real loop: its batches, its steps, its books. Checkpoints by the clock are off, because the time of
waiting would bring one into every block.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from serving import Conversation

import striate
from striate.training.events import Events, Measurement

EPOCHS = 100_000  # far more than are asked for, so that the rate stays
NO_CHECKPOINTS = 1e9  # seconds


class Paced(Events):
    """Holds the training at the end of an epoch until a block is asked for."""

    def __init__(self, images: int) -> None:
        self._images = images  # of an epoch
        self._conversation = Conversation()
        self._requests = self._conversation.requests()
        self._request: dict | None = None
        self._seen, self._start = 0, 0.0

    def measured(self, measurement: Measurement) -> None:
        if self._request is None:  # the first epoch warms up
            self._conversation.ready("striate", "torch", note=json.dumps(resident_memory()))
        else:
            self._seen += self._images
            if self._seen < self._request["images"]:
                return
            seconds = time.perf_counter() - self._start
            self._conversation.answer(
                {"images": self._seen, "seconds": seconds, **resident_memory()}
            )
        self._request = next(self._requests, None)
        if self._request is None:
            raise SystemExit
        self._seen, self._start = 0, time.perf_counter()


def resident_memory() -> dict[str, float]:
    """The most memory that this process has held so far, and what it holds, in MB (10^6)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    kilobytes = {"peak_mb": fields["VmHWM"], "held_mb": fields["VmRSS"]}
    return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in kilobytes.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images and labels")
    parser.add_argument("--net", default="auto")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the recipe, as JSON")
    options = parser.parse_args()
    with np.load(options.arrays) as arrays:
        data = striate.Data.from_arrays(arrays["images"], arrays["labels"])
    settings = {
        **options.settings,
        "epochs": EPOCHS,
        "checkpoint_seconds": NO_CHECKPOINTS,
        "data.validation": 0.0,
        "data.test": 0.0,
    }
    batch = int(settings["batch_size"])
    events = Paced(max(1, len(data) // batch) * min(batch, len(data)))
    with tempfile.TemporaryDirectory() as scratch:
        striate.train(
            data,
            net=options.net,
            recipe=options.recipe,
            out=f"{scratch}/run",
            settings=settings,
            events=events,
        )


if __name__ == "__main__":
    main()
