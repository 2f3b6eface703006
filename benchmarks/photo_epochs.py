"""Epochs over a folder of large JPEG photos, against a PyTorch DataLoader over Pillow.

    python benchmarks/photo_epochs.py [FOLDER] [--rounds 5] [--quick]

Batches of augmented images alone, without a net. Without a folder, 2,000 textured photos of
1000x750 pixels are made. Each round has for each arm a first epoch (Striate: an empty cache, all
from the listing to the end of the first pass; the loader: the start of its two workers) and a
second one. Both decode at the same scale in the decoder, crop 35 % to all of the area, and mirror.
The files are in the system's cache. Status 1 if Striate's first epoch is slower than the loader's,
or its second less than three times as fast.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from arms import Arm, alternate, median_ratio, rates, running, versions_line
from PIL import Image
from provenance import write_result

WIDTH, HEIGHT, QUALITY = 1000, 750, 85
CLASSES = 4
FIRST_AIM, SECOND_AIM = 1.0, 3.0


def make_photos(folder: Path, count: int) -> None:
    """Write photos with structure at several scales, so that they are as long as real ones."""
    generator = np.random.default_rng(0)
    grain = generator.normal(0, 6, (2 * HEIGHT, 2 * WIDTH, 1))
    for number in range(count):
        photo = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for cells, strength in ((8, 60), (40, 30), (200, 18)):
            coarse = generator.normal(0, strength, (cells * HEIGHT // WIDTH, cells, 3))
            photo += enlarged(coarse.astype(np.float32))
        top, left = generator.integers(HEIGHT), generator.integers(WIDTH)
        photo += 128 + grain[top : top + HEIGHT, left : left + WIDTH]
        path = folder / f"class-{number % CLASSES}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)


def enlarged(values: np.ndarray) -> np.ndarray:
    """fp32 (h, w, 3) to (HEIGHT, WIDTH, 3), smoothly."""
    channels = (Image.fromarray(values[:, :, c]) for c in range(3))
    size, smooth = (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    return np.stack([np.asarray(c.resize(size, smooth)) for c in channels], axis=2)


def measure(folder: Path, options: argparse.Namespace) -> tuple[str, bool]:
    """The table, and whether the aims are met."""
    arguments = (folder, "--size", options.size, "--batch", options.batch)
    workers = ("--workers", options.workers)
    arms = (
        Arm("Striate", "striate_photos.py", arguments),
        Arm("PyTorch DataLoader", "peers/pytorch_photos.py", (*arguments, *workers)),
    )
    epochs: dict[str, dict[str, list[float]]] = {"first": {}, "second": {}}
    with running(arms) as started:
        for _ in range(options.rounds):
            for which, figures in epochs.items():
                answers = alternate(started, 1, {"fresh": which == "first"})
                for name, each in answers.items():
                    figures.setdefault(name, []).extend(rates(each))
        versions = versions_line(started)
    lines = ["| epoch | Striate, images/s | PyTorch DataLoader, images/s | ratio |"]
    lines += ["|---|---:|---:|---:|"]
    ratios = {}
    for which, figures in epochs.items():
        ours, theirs = figures["Striate"], figures["PyTorch DataLoader"]
        ratios[which] = median_ratio(ours, theirs)
        lines.append(f"| {which} | {shown(ours)} | {shown(theirs)} | {ratios[which]:.2f} |")
    met = ratios["first"] >= FIRST_AIM and ratios["second"] >= SECOND_AIM
    return "\n".join((*lines, "", versions)), met


def shown(figures: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with one folder a class")
    parser.add_argument("--photos", type=int, default=2000, help="that are made without a folder")
    parser.add_argument("--size", type=int, default=128, help="side in pixels of an image")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.rounds, options.batch = 64, 1, 16
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder
        if folder is None:
            folder = Path(scratch) / "photos"
            make_photos(folder, options.photos)
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = statistics.mean(path.stat().st_size for path in files) / 1e3
        table, met = measure(folder, options)
    body = (
        f"{len(files):,} photos of {size:,.0f} kB on average to {options.size}x{options.size}, "
        f"batches of {options.batch}; medians and ranges of {options.rounds} rounds.\n\n{table}"
    )
    print(body)
    if options.quick:
        return 0
    print(write_result("photo-epochs", "Epochs over a folder of photos", body))
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
