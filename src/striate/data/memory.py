"""Reading a memory-mapped array: ahead of time, and without keeping it in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

MOST_HELD = 1 << 28  # bytes of a map that a reader keeps in memory; smaller maps it never lets go
# What the system may bring in around each place that is read: a huge page, where the file's pages
# are kept so. Measured on Linux 6.18: 0.2 to 1.3 MB.
GRAIN = 1 << 21


def release_pages(array: NDArray[np.uint8]) -> None:
    """Let the system take back the pages of a memory-mapped array that have been read.

    They are read again when they are needed. Does nothing to an array in memory, to a map whose
    changes are not written to its file, or where the system has no such call.

    Args:
        array: uint8, a memory map or a view of one.
    """
    mapped = _map_below(array)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Reader:
    """Reads images here and there in an array; of a large memory map it lets go what it has read.

    Without that, a process that has seen a whole store holds all of it: the system counts the
    pages as the process's own, and takes them back only when it runs short.

    Args:
        images: uint8 (N, ...), an array or a memory map.

    Attributes:
        images: The same, as a plain array.
    """

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = np.asarray(images)  # of a map the array over the same memory
        self._held = 0
        self._most: int | None = None  # images between two releases; None for any number
        if images.nbytes > MOST_HELD and _map_below(images) is not None:
            self._most = max(1, MOST_HELD // max(GRAIN, images[0].nbytes))

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy the images at `places`, int64 (B,): uint8 (B, ...)."""
        parts = [self.images[part] for part in self.portions(places)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def expect(self, places: NDArray[np.int64]) -> None:
        """Ask the system to read the images at `places` from the disk meanwhile.

        Of a large memory map alone: a small one stays in memory once it has been read.
        """
        large = self._most is not None and self.images.flags.c_contiguous
        mapped = _map_below(self.images) if large else None
        if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        before = self.images.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
        size = self.images[0].nbytes
        for place in places.tolist():
            start = before + place * size
            page = start // mmap.PAGESIZE * mmap.PAGESIZE
            with suppress(OSError):  # it was but advice
                mapped.madvise(mmap.MADV_WILLNEED, page, start + size - page)

    def portions(self, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Cut `places` into parts that may be read at once; pages are let go between two of them.

        At least one part, which is all of `places` where the images are no large memory map.
        """
        if self._most is None:
            yield places
            return
        for start in range(0, max(1, len(places)), self._most):
            part = places[start : start + self._most]
            if self._held + len(part) > self._most:
                release_pages(self.images)
                self._held = 0
            self._held += len(part)
            yield part


def _map_below(array: object) -> mmap.mmap | None:
    """The map that an array is a view of; None where there is none that may be let go."""
    while array is not None:
        mapped = getattr(array, "_mmap", None)
        if isinstance(mapped, mmap.mmap):
            # in mode "c" the pages hold the only copy of what was changed
            return None if getattr(array, "mode", None) == "c" else mapped
        array = getattr(array, "base", None)
    return None
