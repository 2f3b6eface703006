"""The IDX layout of MNIST and its kin: a folder of images and labels, gzipped or plain.

Format: http://yann.lecun.com/exdb/mnist, section "THE IDX FILE FORMAT".
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.records import ArraySource
from striate.data.sources.arrays import read_arrays
from striate.errors import DataError

_IMAGES = re.compile(r"(?P<part>.*)-images[-.]idx[34]-ubyte(\.gz)?")
_PARTS = {"train": "train", "t10k": "test", "test": "test"}
_PARTS |= {"val": "validation", "valid": "validation", "validation": "validation"}
_UNSIGNED_BYTE = 8
_LARGEST = 1 << 34  # bytes decoded, 16 GB
_HIGHEST_RATIO = 1032  # of what gzip can expand


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds IDX images."""
    return any(_IMAGES.fullmatch(path.name) for path in folder.iterdir())


def read_idx_folder(
    folder: Path, *, name: str, classes: tuple[str, ...] | None = None, mirror: bool | None = None
) -> ArraySource:
    """Read the images and labels of train, validation and test, as far as they are there.

    Raises:
        DataError: If a file is missing, cut short, or no IDX file.
    """
    found: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    for path in sorted(folder.iterdir()):
        match = _IMAGES.fullmatch(path.name)
        if match is None:
            continue
        part = _PARTS.get(match["part"].rsplit("-", 1)[-1])
        if part is None or part in found:
            hint = "expected one of train-, val- and t10k- or test- before images"
            raise DataError("it is not clear which part these images are", path=path, hint=hint)
        found[part] = read_idx(path), read_idx(_labels_path(path))
    parts = ("train", "validation", "test")
    ordered = {part: found[part] for part in parts if part in found}
    if "train" not in ordered:
        raise DataError("there are no train-images", path=folder)
    return read_arrays(ordered, name=name, classes=classes, root=folder, mirror=mirror)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped if its name ends in .gz.

    Returns:
        uint8, of the shape that the file states.

    Raises:
        DataError: If it is cut short, too long, or no IDX file of unsigned bytes.
    """
    try:
        with _open(path) as file:
            shape = _read_shape(file, path)
            expected = math.prod(shape)
            limit = min(_LARGEST, _HIGHEST_RATIO * path.stat().st_size)
            if expected > limit:
                raise DataError(
                    f"its header states {shape}, more than the file can hold", path=path
                )
            content = file.read(expected + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(
            f"it cannot be read: {error}", path=path, hint="get the file again"
        ) from None
    if len(content) != expected:
        more = "more" if len(content) > expected else f"{len(content)}"
        raise DataError(f"its header states {expected} bytes, it holds {more}", path=path)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_shape(file: IO[bytes], path: Path) -> tuple[int, ...]:
    """The shape in the header: two zero bytes, the kind, the count of dimensions, those."""
    start = file.read(4)
    if start[:3] != bytes((0, 0, _UNSIGNED_BYTE)) or not 1 <= start[-1] <= 4:
        raise DataError("it is no IDX file of unsigned bytes", path=path)
    return struct.unpack(f">{start[-1]}I", file.read(4 * start[-1]))


def _labels_path(images: Path) -> Path:
    """The labels beside the images, gzipped or not."""
    base = re.sub(r"images([-.])idx[34]", r"labels\1idx1", images.name).removesuffix(".gz")
    for name in (base, f"{base}.gz"):
        if (images.parent / name).is_file():
            return images.parent / name
    raise DataError("the labels of these images are missing", path=images, hint=f"expected {base}")
