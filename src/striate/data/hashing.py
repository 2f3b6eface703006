"""Hashes of what images hold: for exact duplicates, and for the manifest that names a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from striate.data.memory import Reader

DIGEST_BYTES = 16


def digest_bytes(content: bytes | memoryview) -> bytes:
    """BLAKE2b of an image's file, 16 bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digest_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hash every image of an array by its pixels and its shape.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        uint8 (N, 16).
    """
    shape = repr(images.shape[1:]).encode()
    start = hashlib.blake2b(shape, digest_size=DIGEST_BYTES)
    digests = bytearray()
    for places in Reader(images).portions(np.arange(len(images))):
        for place in places:
            hasher = start.copy()
            hasher.update(np.ascontiguousarray(images[place]).data)
            digests += hasher.digest()
    return np.frombuffer(bytes(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def content_keys(contents: NDArray[np.uint8]) -> NDArray[np.void]:
    """View uint8 (N, 16) digests as N opaque values that compare and sort."""
    return np.ascontiguousarray(contents).view(np.dtype((np.void, DIGEST_BYTES))).reshape(-1)


def manifest_hash(names: Sequence[str], labels: Iterable[str], contents: NDArray[np.uint8]) -> str:
    """SHA-256, in hexadecimal, over the name, label and content of every image, in order.

    It depends neither on the split nor on the size that images are brought to.
    """
    digests = contents.tobytes().hex()
    width = 2 * DIGEST_BYTES
    lines = (
        f"{name}\0{label}\0{digests[row * width : (row + 1) * width]}\n"
        for row, (name, label) in enumerate(zip(names, labels, strict=True))
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
