"""A PyTorch DataLoader over Pillow on a folder of photos, as an arm: see serving.py.

    python pytorch_photos.py FOLDER --size 128 --batch 64 --workers 2

Every image is decoded anew in every epoch: by the JPEG decoder to the size that it needs (draft
mode), a random crop of 35 % to all of the area and its scaling in one pass, mirrored by chance.
Bytes travel from the workers; the batch is normalised as a whole, in channels_last.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from serving import serve
from torch.utils.data import DataLoader, Dataset

SMALLEST_CROP, ASPECTS = 0.35, (3 / 4, 4 / 3)
MEAN, DEVIATION = torch.tensor([124.0, 116.0, 104.0]), torch.tensor([58.0, 57.0, 57.0])
AHEAD = 4  # batches that a worker has ready


class Photos(Dataset):
    """The photos of a folder with one folder a class."""

    def __init__(self, folder: str, size: int) -> None:
        self.size = size
        classes = sorted(path for path in Path(folder).iterdir() if path.is_dir())
        self.files = [(str(f), k) for k, c in enumerate(classes) for f in sorted(c.iterdir())]

    def __len__(self) -> int:
        """The number of photos."""
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        """Decode, crop, scale and mirror one: uint8 (size, size, 3)."""
        path, label = self.files[place]
        with Image.open(path) as image:
            image.draft("RGB", (2 * self.size, 2 * self.size))
            photo = image.convert("RGB")
        box = random_box(*photo.size)
        photo = photo.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        pixels = np.asarray(photo)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        return torch.from_numpy(pixels.copy()), label


def random_box(width: int, height: int) -> tuple[float, float, float, float]:
    """A part of the image: its share of the area and its aspect are drawn, and its place."""
    area = random.uniform(SMALLEST_CROP, 1)
    aspect = math.exp(random.uniform(*map(math.log, ASPECTS)))
    across = width * min(1, math.sqrt(area * aspect))
    down = height * min(1, math.sqrt(area / aspect))
    left, top = random.uniform(0, width - across), random.uniform(0, height - down)
    return left, top, left + across, top + down


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._loader: DataLoader | None = None

    def measure(self, *, fresh: bool) -> dict:
        """An epoch; a fresh one lists the folder and starts the workers."""
        if fresh:
            self._loader = None  # ends the workers of before
        start = time.perf_counter()
        if self._loader is None:
            self._loader = DataLoader(
                Photos(self.options.folder, self.options.size),
                self.options.batch,
                shuffle=True,
                drop_last=True,
                num_workers=self.options.workers,
                persistent_workers=True,
                prefetch_factor=AHEAD,
            )
        seen = 0
        for pixels, _ in self._loader:
            images = ((pixels.float() - MEAN) / DEVIATION).permute(0, 3, 1, 2)
            seen += len(images)
        return {"images": seen, "seconds": time.perf_counter() - start}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    serve(Arm(parser.parse_args()).measure, "torch", "pillow")


if __name__ == "__main__":
    main()
