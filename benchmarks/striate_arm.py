"""Striate's training loop as an arm: `striate.train`, held at the end of an epoch.

The events of a run wait there for the next request, so that a block is an epoch, or several, of the
real loop: its batches, its steps, its books. Checkpoints by the clock are off, because the time of
waiting would bring one into every block. Answers also say how much memory the process has held at
most, beyond what the libraries take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from serving import Conversation

import striate
from striate.training.events import Events, Measurement

EPOCHS = 100_000  # far more than are asked for, so that the rate stays
NO_CHECKPOINTS = 1e9  # seconds


class Paced(Events):
    """Holds the training at the end of an epoch until a block is asked for."""

    def __init__(self, images: int, held_at_start: float) -> None:
        self._images = images  # of an epoch
        self._held_at_start = held_at_start
        self._conversation = Conversation()
        self._requests = self._conversation.requests()
        self._request: dict | None = None
        self._seen, self._start = 0, 0.0

    def measured(self, measurement: Measurement) -> None:
        if self._request is None:  # the first epoch warms up
            self._conversation.ready("striate", "torch")
        else:
            self._seen += self._images
            if self._seen < self._request["images"]:
                return
            seconds = time.perf_counter() - self._start
            peak = resident_memory("VmHWM") - self._held_at_start
            self._conversation.answer({"images": self._seen, "seconds": seconds, "peak_mb": peak})
        self._request = next(self._requests, None)
        if self._request is None:
            raise SystemExit
        self._seen, self._start = 0, time.perf_counter()


def resident_memory(field: str) -> float:
    """What this process holds ("VmRSS"), or has held at most ("VmHWM"), in MB (10^6)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields[field].split()[0]) * 1024 / 1e6


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images and labels")
    parser.add_argument("--net", default="auto")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the recipe, as JSON")
    options = parser.parse_args()
    torch.ones(1)
    held_at_start = resident_memory("VmRSS")
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
    events = Paced(max(1, len(data) // batch) * min(batch, len(data)), held_at_start)
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
