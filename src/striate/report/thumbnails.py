"""Small pictures inside the page, as many as its size allows."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data import Data

SHOWN_SIDE = 96  # pixels on the page
PIXELATED_UP_TO = 48  # pixels; smaller images are shown as their pixels, without loss
STORED_SIDE = 160  # pixels; larger ones are scaled down to this
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI, with the size to show it at."""

    uri: str
    width: int
    height: int
    pixelated: bool


class Thumbnails:
    """Makes thumbnails until a budget of bytes is spent.

    Args:
        data: Where the images come from; None where there are none to show.
        budget: Bytes of data URIs in all.
    """

    def __init__(self, data: Data | None, *, budget: int) -> None:
        self._data = data
        self._left = budget
        self._made: dict[int, Thumbnail] = {}

    def of(self, index: int) -> Thumbnail | None:
        """The thumbnail of an image, or None where it cannot be shown or the budget is spent."""
        if self._data is None or not 0 <= index < len(self._data.images):
            return None
        thumbnail = self._made.get(index) or make_thumbnail(self._data.images[index])
        if len(thumbnail.uri) > self._left:
            return None
        self._left -= len(thumbnail.uri)
        self._made[index] = thumbnail
        return thumbnail


def make_thumbnail(image: NDArray[np.uint8]) -> Thumbnail:
    """A small picture of an image.

    Args:
        image: uint8 (H, W, C), C 1 or 3.

    Returns:
        PNG, every pixel as it is, for an image of at most 48 pixels a side; else JPEG, scaled down.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(
        np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)
    )
    longest = max(height, width)
    if longest <= PIXELATED_UP_TO:
        times = max(1, SHOWN_SIDE // longest)
        return Thumbnail(encode_png(picture), width * times, height * times, pixelated=True)
    picture.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    scale = SHOWN_SIDE / longest
    return Thumbnail(
        _encode(picture, "jpeg", quality=JPEG_QUALITY, optimize=True),
        max(1, round(width * scale)),
        max(1, round(height * scale)),
        pixelated=False,
    )


def encode_png(picture: Image.Image) -> str:
    """A picture as a data URI, without loss."""
    return _encode(picture, "png", optimize=True)


def _encode(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
