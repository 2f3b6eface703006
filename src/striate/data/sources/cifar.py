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
from striate.data.sources.arrays import join_parts
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
    paths = {
        part: [folder / file for file in files if (folder / file).is_file()]
        for part, files in parts.items()
    }
    counts = {
        part: sum(_count_records(path, layout) for path in found)
        for part, found in paths.items()
        if found
    }
    images, labels = _read_records([*paths["train"], *paths["test"]], layout, sum(counts.values()))
    return join_parts(
        images, labels, counts, name=name, classes=classes, root=folder, mirror=mirror
    )


def _count_records(path: Path, layout: _Layout) -> int:
    record = layout.label_bytes + _PIXELS
    size = path.stat().st_size
    if size == 0 or size % record:
        message = f"its {size} bytes are no multiple of a record of {record}"
        raise DataError(message, path=path, hint="it is cut short: get the file again")
    return size // record


def _read_records(
    paths: list[Path], layout: _Layout, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 32, 32, 3) and labels (N,) of all files, one after another."""
    images = np.empty((count, 32, 32, 3), np.uint8)
    labels = np.empty(count, np.uint8)
    stop = 0
    for path in paths:
        records = np.fromfile(path, np.uint8).reshape(-1, layout.label_bytes + _PIXELS)
        start, stop = stop, stop + len(records)
        labels[start:stop] = records[:, layout.label_bytes - 1]
        planes = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
        images[start:stop] = planes.transpose(0, 2, 3, 1)
    return images, labels


def _class_names(path: Path) -> tuple[str, ...] | None:
    """The class names beside the data, or None where that file is missing."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip()) or None
