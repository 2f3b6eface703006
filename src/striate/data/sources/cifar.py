"""The binary layout of CIFAR-10 and CIFAR-100.

Format: https://www.cs.toronto.edu/~kriz/cifar.html, section "Binary version": records of one label
byte (CIFAR-100: a coarse and a fine one) and 3072 bytes of pixels, channel by channel, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.records import ArraySource
from striate.data.sources.arrays import read_arrays
from striate.errors import DataError

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Layout:
    label_bytes: int
    class_names: str
    train: tuple[str, ...]
    test: tuple[str, ...]


_CIFAR10 = _Layout(
    1, "batches.meta.txt", tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)
)
_CIFAR100 = _Layout(2, "fine_label_names.txt", ("train.bin",), ("test.bin",))


def is_cifar_folder(folder: Path) -> bool:
    """Whether a folder holds the training files of CIFAR-10 or CIFAR-100, some at least."""
    return any((folder / name).is_file() for name in (*_CIFAR10.train, *_CIFAR100.train))


def read_cifar_folder(folder: Path, *, name: str, mirror: bool | None = True) -> ArraySource:
    """Read the training and test images of a folder in CIFAR's binary layout.

    Raises:
        DataError: If a file is cut short, or a label is out of range.
    """
    layout = _CIFAR100 if (folder / _CIFAR100.train[0]).is_file() else _CIFAR10
    classes = _class_names(folder / layout.class_names)
    parts = {"train": layout.train, "test": layout.test}
    found = {part: _read_files(folder, names, layout) for part, names in parts.items()}
    arrays = {part: arrays for part, arrays in found.items() if arrays is not None}
    return read_arrays(arrays, name=name, classes=classes, root=folder, mirror=mirror)


def _read_files(
    folder: Path, names: tuple[str, ...], layout: _Layout
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Images (N, 32, 32, 3) and labels (N,) of those files that are there."""
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        return None
    record = layout.label_bytes + _PIXELS
    for path in paths:
        size = path.stat().st_size
        if size == 0 or size % record:
            message = f"its {size} bytes are no multiple of a record of {record}"
            raise DataError(message, path=path, hint="it is cut short: get the file again")
    counts = [path.stat().st_size // record for path in paths]
    images = np.empty((sum(counts), 32, 32, 3), np.uint8)
    labels = np.empty(sum(counts), np.uint8)
    stop = 0
    for path, count in zip(paths, counts, strict=True):
        start, stop = stop, stop + count
        records = np.fromfile(path, np.uint8, count * record).reshape(count, record)
        labels[start:stop] = records[:, layout.label_bytes - 1]
        planes = records[:, layout.label_bytes :].reshape(count, 3, 32, 32)
        images[start:stop] = planes.transpose(0, 2, 3, 1)
    return images, labels


def _class_names(path: Path) -> tuple[str, ...] | None:
    """The class names beside the data, or None where that file is missing."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip()) or None
