"""Several views of each image, their logits averaged: what AlexNet did with ten crops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.memory import Reader
from striate.errors import UsageError
from striate.model import Model

VIEWS = (1, 2, 6, 10)
ROUNDING = 1e-6  # of a share times a count
BORDER = 1 / 16  # of each side: two pixels for an image of 32, as the training shifts by two

Images = NDArray[np.uint8]


def view_logits(
    model: Model,
    images: Images,
    *,
    views: int = 1,
    unsure: float = 1.0,
    indices: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float32]:
    """The logits of each image, averaged over its views.

    1 is the image; 2 adds its mirror image; 6 adds both moved by half the border described below,
    up and left, and down and right (the views of the CIFAR-10 records); 10 is the four corners and
    the centre of the image with a border, and the mirror images of these five (Krizhevsky,
    Sutskever and Hinton 2012, who cut 224 of 256 pixels). Images are stored at the
    net's input size, so the border is made: each side grows by a sixteenth, rounded, at least one
    pixel, by reflection.

    AlexNet averages probabilities; the logits are averaged here, as in the recent CIFAR-10
    records, so that the temperature keeps its meaning.

    Views change the answer where the net hesitates: with `unsure` below 1 every image is seen once,
    and that share of them, whose two best logits lie nearest to each other, in all views.

    Args:
        model: The model.
        images: uint8 (N, H, W, C), in memory or mapped.
        views: 1, 2, 6 or 10.
        unsure: The share of images that is seen in more than one view, above 0 and up to 1.
        indices: Which images, in which order; None for all.

    Returns:
        (N, K), or one row an index.

    Raises:
        UsageError: another count of views, another share, or a share where there is one view.
        DataError: the images do not fit the model.
    """
    check_views(views, unsure)
    places = np.arange(len(images)) if indices is None else np.asarray(indices, np.int64)
    if unsure == 1:
        return _averaged(model, images, views, places)
    logits = _averaged(model, images, 1, places)
    chosen = least_sure(logits, unsure)
    logits[chosen] = _averaged(model, images, views, places[chosen])
    return logits


def check_views(views: int, unsure: float) -> None:
    """Raise UsageError where there are no such views, or no such share of images.

    Args:
        views: As of `view_logits`.
        unsure: As of `view_logits`.
    """
    if views not in VIEWS:
        raise UsageError(f"{views} views", hint=f"choose {', '.join(map(str, VIEWS))}")
    if not 0 < unsure <= 1:
        raise UsageError(f"a share of {unsure:g} unsure images", hint="choose above 0, up to 1")
    if unsure < 1 and views == 1:
        hint = f"choose {', '.join(map(str, VIEWS[1:]))} views"
        raise UsageError("a share of unsure images, all of which have one view", hint=hint)


def least_sure(logits: NDArray[np.float32], share: float) -> NDArray[np.int64]:
    """The places, in order, of the images (N, K) whose two best logits lie nearest to each other.

    Args:
        logits: (N, K).
        share: Of the images, above 0 and up to 1: their count is rounded up.
    """
    best = np.sort(logits, axis=1)[:, -2:]
    gaps = best[:, -1] - best[:, 0]
    count = math.ceil(share * len(logits) - ROUNDING)
    return np.sort(np.argsort(gaps, kind="stable")[:count])


def _averaged(
    model: Model, images: Images, views: int, places: NDArray[np.int64]
) -> NDArray[np.float32]:
    total = np.zeros((len(places), len(model.classes)), dtype=np.float32)
    reader = Reader(images)
    for start in range(0, len(places), model.batch_size):
        part = slice(start, start + model.batch_size)
        batch = reader.take(places[part])
        for view in make_views(batch, views):
            total[part] += model.logits(view)
    return total / np.float32(views)


def make_views(images: Images, views: int) -> Iterator[Images]:
    """The views of uint8 (N, H, W, C), each of the same shape."""
    for crop in _crops(images, views):
        yield crop
        if views > 1:
            yield crop[:, :, ::-1]


def _crops(images: Images, views: int) -> Iterator[Images]:
    if views == 6:
        yield images
        yield from _moved(images, BORDER / 2, [(0, 0), (2, 2)])
    elif views == 10:
        yield from _moved(images, BORDER, [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)])
    else:
        yield images


def _moved(images: Images, border: float, corners: list[tuple[int, int]]) -> Iterator[Images]:
    """Cut at `corners`, in borders, from images with a reflected border of a share of each side."""
    height, width = images.shape[1:3]
    tall, wide = (max(1, round(side * border)) for side in (height, width))
    padded = np.pad(images, ((0, 0), (tall, tall), (wide, wide), (0, 0)), mode="reflect")
    for down, right in corners:
        top, left = down * tall, right * wide
        yield padded[:, top : top + height, left : left + width]
