"""BLAKE2b digests of many messages side by side, as `hashlib` makes them one by one.

RFC 7693; each lane of the processor's registers holds a message, so that four or eight of about the
same length take little more time than one.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from striate.kernels.library import load_library, processor

DIGEST_BYTES = 16


class _Digest(ctypes.Structure):
    """`StriateDigest` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("messages", "prefix_length")),
        ("threads", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("prefix", "starts", "lengths", "digests")),
    )


def can_digest() -> bool:
    """Whether that is faster than `hashlib`: with AVX2 or more."""
    return processor() not in {"pytorch", "scalar"}


def digest_messages(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], *, prefix: bytes = b"", threads: int = 1
) -> NDArray[np.uint8]:
    """Digests of messages that lie in memory, each with the same bytes before its own.

    Args:
        starts: int64 (N,), the addresses of the messages, which the caller keeps alive.
        lengths: int64 (N,), in bytes.
        prefix: What comes before each message.
        threads: How many share the messages out.

    Returns:
        uint8 (N, 16).
    """
    library = load_library()
    assert library is not None
    assert starts.shape == lengths.shape
    starts, lengths = (np.ascontiguousarray(array, np.int64) for array in (starts, lengths))
    digests = np.empty((len(starts), DIGEST_BYTES), np.uint8)
    before = np.frombuffer(prefix or b"\0", np.uint8)
    job = _Digest(
        messages=len(starts),
        prefix_length=len(prefix),
        threads=max(1, threads),
        prefix=before.ctypes.data,
        starts=starts.ctypes.data,
        lengths=lengths.ctypes.data,
        digests=digests.ctypes.data,
    )
    library.striate_digest(ctypes.byref(job))
    return digests
