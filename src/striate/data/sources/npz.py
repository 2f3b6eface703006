"""An .npz file of images and labels."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.names import escape_name
from striate.data.records import ArraySource
from striate.data.sources.arrays import read_arrays
from striate.errors import DataError

# The names that Striate writes itself, those of Keras, those of MedMNIST.
_PARTS = {
    "train": (("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("validation_images", "validation_labels"), ("val_images", "val_labels")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
_HINT = "expected images and labels, and perhaps test_images and test_labels"
_LARGEST = 1 << 36  # bytes unpacked
_HIGHEST_RATIO = 1032  # of what deflate can expand: more is a false size


def read_npz(path: Path) -> ArraySource:
    """Read images and labels, and those of validation and test if they are there.

    The arrays may also have the names that Keras (`x_train`, `y_train`) or MedMNIST
    (`train_images`, `train_labels`) use; `classes` holds the class names. Objects are never
    unpickled.

    Raises:
        DataError: If arrays are missing, or the file is damaged or holds objects.
    """
    try:
        _refuse_bomb(path)
        with np.load(path, allow_pickle=False) as archive:
            parts = {
                part: (archive[images], archive[labels])
                for part, pairs in _PARTS.items()
                for images, labels in pairs
                if images in archive and labels in archive
            }
            held = ", ".join(escape_name(name) for name in archive.files[:10])
            classes = _class_names(archive["classes"]) if "classes" in archive else None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"it cannot be read: {error}", path=path, hint=_HINT) from None
    except MemoryError:
        raise DataError("its arrays do not fit into memory", path=path) from None
    if "train" not in parts:
        raise DataError(f"it holds {held or 'nothing'}", path=path, hint=_HINT)
    return read_arrays(parts, name=escape_name(path.stem), classes=classes, root=path)


def _refuse_bomb(path: Path) -> None:
    """Refuse sizes that no honest file of this length unpacks to, before anything is unpacked."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > min(_LARGEST, _HIGHEST_RATIO * path.stat().st_size):
        raise DataError(f"it would unpack to {unpacked} bytes", path=path)


def _class_names(array: NDArray[np.generic]) -> tuple[str, ...]:
    return tuple(escape_name(str(name)) for name in array.reshape(-1).tolist())
