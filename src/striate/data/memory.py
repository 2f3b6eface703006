"""Reading a memory-mapped array without keeping it in memory."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray


def release_pages(array: NDArray[np.uint8]) -> None:
    """Let the system take back the pages of a memory-mapped array that have been read.

    They are read again when they are needed. Does nothing to an array in memory, or where the
    system has no such call.
    """
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
