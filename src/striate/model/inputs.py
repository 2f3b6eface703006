"""From what a caller names to the images themselves: files, folders of files, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import Preprocessing, decode_image
from striate.data.names import is_hidden
from striate.data.resize import fit
from striate.errors import DataError

IMAGE_ENDINGS = frozenset(
    ("", ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
)

Image = NDArray[np.uint8]
Item = str | Path | NDArray[Any]


@dataclass(frozen=True)
class Source:
    """One image to predict: a file that may turn out unreadable, or pixels.

    Attributes:
        path: The file's name; None for pixels.
        pixels: (H, W, C) or (H, W); None for a file.
    """

    path: str | None
    pixels: NDArray[Any] | None = None


def expand(items: Iterable[Item]) -> Iterator[Source]:
    """Name every image: files as they come, folders in depth and sorted, arrays as they are.

    In a folder, hidden files, what systems leave behind, and files with the ending of something
    else than an image are passed over; a file that is named by itself is always tried. Links to
    folders are not followed.
    """
    for item in items:
        if isinstance(item, np.ndarray):
            yield Source(path=None, pixels=item)
        elif os.path.isdir(item):  # noqa: PTH112 - Path raises for a name that is too long
            for path in _files(str(item)):
                yield Source(path=path)
        else:
            yield Source(path=str(item))


def decode(source: Source, preprocessing: Preprocessing) -> Image:
    """The pixels of one image as the net takes them: uint8 (H, W, C).

    A file goes through `decode_image`, as every training image did; an array of another size is
    resized by the same policy.

    Raises:
        DataError: the file is no readable image, or the array is none.
    """
    if source.pixels is None:
        return decode_image(str(source.path), preprocessing)
    channels = preprocessing.channels
    pixels = source.pixels
    image = pixels[..., None] if pixels.ndim == 2 and channels == 1 else pixels
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or not image.size:
        raise DataError(
            f"an array of {pixels.dtype} {list(pixels.shape)} is no image for this model, which "
            f"takes uint8 (H, W, {channels})"
        )
    return fit(image, preprocessing)


def _files(folder: str) -> Iterator[str]:
    """The image files under a folder, each folder's own before those of the folders in it."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            if not is_hidden(name) and PurePath(name).suffix.lower() in IMAGE_ENDINGS:
                yield str(PurePath(parent, name))
