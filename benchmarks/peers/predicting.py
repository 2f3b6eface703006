"""What the arms of prediction have in common: three ways to ask, around one function.

A file on disk to a class, an image in memory to its probabilities, a batch of them to theirs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from serving import timed_calls


def read_image(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    """A file to uint8 (H, W, C), decoded at the least scale that serves."""
    height, width, channels = shape
    mode = "RGB" if channels == 3 else "L"
    with Image.open(path) as image:
        image.draft(mode, (2 * width, 2 * height))
        small = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(shape)


def make_measure(
    probabilities: Callable[[np.ndarray], np.ndarray], image: str, arrays: str
) -> Callable[..., dict]:
    """Answers to requests for a kind, "file", "array" or "batch", in about so many seconds.

    Args:
        probabilities: uint8 (N, H, W, C) to (N, K).
        image: A file.
        arrays: An .npz with images.
    """
    images = np.load(arrays)["images"]
    calls = {
        "file": lambda: probabilities(read_image(image, images.shape[1:])[None]).argmax(1),
        "array": lambda: probabilities(images[:1]),
        "batch": lambda: probabilities(images),
    }

    def measure(kind: str, seconds: float) -> dict:
        count = len(images) if kind == "batch" else 1
        return {"images": count, "seconds": timed_calls(calls[kind], seconds=seconds)}

    return measure
