"""Striate's store and batches on a folder of photos, as an arm: see peers/serving.py.

    python striate_photos.py FOLDER --size 128 --batch 64

`{"fresh": true}` is a first epoch: an empty cache, so that the photos are listed, checked, decoded
and stored, then the first pass over them in batches; else it is another pass.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

from serving import serve

import striate
from striate.data import TRAIN, Augmentation, Batches

SMALLEST_CROP = 0.35


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.epoch = 0
        self._scratch: tempfile.TemporaryDirectory | None = None
        self._batches: Batches | None = None

    def measure(self, *, fresh: bool) -> dict:
        """An epoch; returns its images and seconds."""
        if fresh and self._scratch is not None:
            self._batches = None
            self._scratch.cleanup()
        start = time.perf_counter()
        if fresh:
            self._scratch = tempfile.TemporaryDirectory()
            os.environ["STRIATE_CACHE"] = self._scratch.name
            self._batches = self._make_batches()
        assert self._batches is not None
        self.epoch += 1
        seen = sum(len(batch.images) for batch in self._batches.epoch(self.epoch))
        return {"images": seen, "seconds": time.perf_counter() - start}

    def _make_batches(self) -> Batches:
        data = striate.load_data(self.options.folder, size=self.options.size)
        data = data.split(validation=0, test=0)
        preprocessing = data.preprocessing
        return Batches(
            data.images,
            data.labels,
            data.indices(TRAIN),
            batch_size=self.options.batch,
            augment=Augmentation(flip="random", crop=SMALLEST_CROP),
            seed=0,
            mean=preprocessing.mean,
            std=preprocessing.std,
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    serve(Arm(parser.parse_args()).measure, "striate", "torch", "pillow")


if __name__ == "__main__":
    main()
