"""The manifest of a run's split, read back: it, not the seed, says what trained and what judges."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data import Data, Split
from striate.errors import ModelError


def read_splits(path: Path, data: Data) -> NDArray[np.int8]:
    """The splits of a run's `split.csv`, after making sure that it speaks of these images.

    Args:
        path: The file.
        data: The images, in the order in which the run had them.

    Returns:
        int8 (N,), codes of `Split`.

    Raises:
        ModelError: If it cannot be read, or names other images.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(row["name"], _code(row["split"], reader.line_num)) for row in reader]
    except KeyError as cause:
        message = f"the manifest of the split has no column {cause}"
        raise ModelError(message, path=path) from cause
    except (OSError, ValueError, csv.Error) as cause:
        raise ModelError(f"the manifest of the split cannot be read: {cause}", path=path) from cause
    names = [name for name, _ in rows]
    splits = np.array([code for _, code in rows], dtype=np.int8)
    if names != list(data.names):
        raise ModelError(
            "the manifest of the split names other images than the data",
            path=path,
            hint="restore it: it was written when the run began",
        )
    return splits


def _code(text: str, line: int) -> Split:
    """The split that a row names; a row that was cut short names none."""
    for code in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        if text == code.name.lower():
            return code
    raise ValueError(f"line {line} names the split {text!r}")
