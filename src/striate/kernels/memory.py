"""What the C library does with freed memory: by its own rules, or kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys

# From malloc.h of glibc; the numbers are part of its binary interface.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4

LARGEST_KEPT = 2**30  # bytes of one block; larger ones go back to the system as they are freed
NEVER = -1

_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")
_TUNABLES = ("glibc.malloc.mmap_threshold", "glibc.malloc.mmap_max", "glibc.malloc.trim_threshold")


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the rest of the process.

    A training step allocates and frees the same tensors again and again. By default glibc gives
    blocks of more than 32 MiB back to the system as they are freed, and what is free at the end of
    its heap too; the next step gets them as new pages, each of which the system fills with zeros
    when it is first touched. That cost a quarter of the time of a training step of the default net
    (`docs/decisions/0011`). With this, the process holds the memory of its worst moment until it
    ends; blocks of more than 1 GiB still go back.

    Only addresses change, so results are the same to the last bit. It may be called again, from any
    thread. It does nothing where the user has set these limits in the environment
    (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_MMAP_MAX_`, `MALLOC_TRIM_THRESHOLD_`, or theirs in
    `GLIBC_TUNABLES`), on other systems than Linux, with another C library, and where another
    allocator stands in for glibc's.

    Source: mallopt(3) of the Linux manual.
    """
    if sys.platform != "linux" or _set_by_user():
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # as in musl
        return
    # Older versions take no threshold above 32 MiB: there no block is large.
    if not mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT):
        mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)


def _set_by_user() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    named = any(name in tunables for name in _TUNABLES)
    return named or any(name in os.environ for name in _SETTINGS)
