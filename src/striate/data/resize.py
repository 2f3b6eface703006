"""Images brought to one size, and the choice of that size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.preprocessing import Interpolation, Preprocessing

Pixels = NDArray[np.uint8]
# Pillow widens the filter when it scales down: both with antialiasing, bilinear without ringing.
_FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_LARGEST_AS_IT_IS = 128  # pixels: images of one size up to this keep it
PHOTO_SIDE = 64  # pixels that photos of many sizes are brought to


def choose_size(sizes: Iterable[tuple[int, int]], photo_side: int = PHOTO_SIDE) -> tuple[int, int]:
    """Choose the (H, W) that all images of a data set are brought to.

    Images of one size, no side above 128, keep it. Else a square: 32 where half of the images have
    a shorter side below 48, and `photo_side` otherwise: at 64 a few hundred photos train in about a
    minute on two cores. A larger size sees more and takes longer, by the square.

    Args:
        sizes: (H, W) of every image.
        photo_side: In pixels.
    """
    known = list(sizes)
    if len(set(known)) == 1 and max(known[0]) <= _LARGEST_AS_IT_IS:
        return known[0]
    typical = median(min(size) for size in known)
    side = 32 if typical < 48 else photo_side
    return side, side


def fit(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Bring an image to the size of the preprocessing.

    Args:
        image: Of mode "L" or "RGB".
        preprocessing: Its `size`, `resize` and `background` count.

    Returns:
        uint8 (H, W, C).
    """
    height, width = preprocessing.size
    if image.size != (width, height):
        image = _POLICIES[preprocessing.resize](image, preprocessing)
    return np.asarray(image, np.uint8).reshape(height, width, -1)


def fit_array(images: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Bring uint8 images (N, h, w, C) to (N, H, W, C), as `fit` does."""
    resized = np.empty((len(images), *preprocessing.size, images.shape[3]), np.uint8)
    for row, image in enumerate(images):
        resized[row] = fit(
            Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image), preprocessing
        )
    return resized


def _squash(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    height, width = preprocessing.size
    return image.resize((width, height), _FILTERS[preprocessing.interpolation])


def _crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The largest middle part of the right shape, scaled."""
    height, width = preprocessing.size
    scale = min(image.width / width, image.height / height)
    left = max(0.0, (image.width - scale * width) / 2)
    top = max(0.0, (image.height - scale * height) / 2)
    # Pillow refuses a box that rounding carries over the edge.
    inside = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), _FILTERS[preprocessing.interpolation], box=inside)


def _pad(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The whole image, scaled, in the middle of the background."""
    height, width = preprocessing.size
    scale = max(image.width / width, image.height / height)
    shape = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    background = preprocessing.background
    ground = Image.new(
        image.mode, (width, height), background if len(background) == 3 else background[0]
    )
    scaled = image.resize(shape, _FILTERS[preprocessing.interpolation])
    ground.paste(scaled, ((width - shape[0]) // 2, (height - shape[1]) // 2))
    return ground


_POLICIES: dict[str, Callable[[Image.Image, Preprocessing], Image.Image]] = {
    "squash": _squash,
    "crop": _crop,
    "pad": _pad,
}
