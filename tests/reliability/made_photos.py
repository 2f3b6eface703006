"""Folders of small photos, and what is found in them: what the tests of bad data share."""

import io
import subprocess
import sys

import numpy as np
from PIL import Image

from striate.data import load_data


def noise(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """An image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """What a file of the image holds."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def listed(source: object) -> dict[str, list[tuple[str, ...]]]:
    """The names of what is found, by kind."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for problem in load_data(source).problems:
        found.setdefault(problem.kind, []).append(problem.paths)
    return found


def striate(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    code = "import sys; from striate.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
