"""Images brought to one size, and the choice of that size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.preprocessing import Interpolation, Preprocessing
from striate.kernels import Box, can_resize, resize_image

Pixels = NDArray[np.uint8]
# Both widen their window to shrink, which is antialiasing; bilinear is without ringing.
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


def fit(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Bring an image to the size of the preprocessing.

    Args:
        image: uint8 (h, w, C), row-major; with a byte to spare behind each pixel or not.
        preprocessing: Its `size`, `resize`, `interpolation` and `background` count.

    Returns:
        uint8 (H, W, C), C-contiguous; the image itself where it has that size and lies so.
    """
    if image.shape[:2] == preprocessing.size:
        return np.ascontiguousarray(image)
    return _POLICIES[preprocessing.resize](image, preprocessing)


def fit_array(images: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Bring uint8 images (N, h, w, C) to (N, H, W, C), as `fit` does."""
    resized = np.empty((len(images), *preprocessing.size, images.shape[3]), np.uint8)
    for row, image in enumerate(images):
        resized[row] = fit(image, preprocessing)
    return resized


def _squash(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    return _scale(image, preprocessing.size, preprocessing.interpolation)


def _crop(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    """The largest middle part of the right shape, scaled."""
    (h, w), (height, width) = image.shape[:2], preprocessing.size
    scale = min(w / width, h / height)
    left = max(0.0, (w - scale * width) / 2)
    top = max(0.0, (h - scale * height) / 2)
    # Pillow refuses a box that rounding carries over the edge.
    inside = (left, top, w - left, h - top)
    return _scale(image, preprocessing.size, preprocessing.interpolation, inside)


def _pad(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    """The whole image, scaled, in the middle of the background."""
    (h, w), (height, width) = image.shape[:2], preprocessing.size
    scale = max(w / width, h / height)
    shape = max(1, round(h / scale)), max(1, round(w / scale))
    ground = np.empty((height, width, image.shape[2]), np.uint8)
    ground[:] = preprocessing.background
    top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
    scaled = _scale(image, shape, preprocessing.interpolation)
    ground[top : top + shape[0], left : left + shape[1]] = scaled
    return ground


def _scale(
    image: Pixels, size: tuple[int, int], interpolation: Interpolation, box: Box | None = None
) -> Pixels:
    """Scale an image, or the part in a box, by the compiled operator or by Pillow: the same bytes.

    Pillow is asked for one pass at a time. Both at once it takes in an order of its own choosing,
    which is not that of its earlier versions, and rounds otherwise.
    """
    (h, w, channels), (height, width) = image.shape, size
    if can_resize(channels):
        return resize_image(image, size, filter=interpolation, box=box)
    left, top, right, bottom = box or (0, 0, w, h)
    sampling = _FILTERS[interpolation]
    image = np.ascontiguousarray(image)
    whole = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    across = whole.resize((width, h), sampling, box=(left, 0, right, h))
    scaled = across.resize((width, height), sampling, box=(0, top, width, bottom))
    return np.asarray(scaled, np.uint8).reshape(height, width, channels)


_POLICIES: dict[str, Callable[[Pixels, Preprocessing], Pixels]] = {
    "squash": _squash,
    "crop": _crop,
    "pad": _pad,
}
