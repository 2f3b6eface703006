"""Hashes of what images hold: for exact duplicates, and for the manifest that names a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.memory import Reader
from striate.kernels import DIGEST_BYTES, can_digest, digest_messages


def digest_files(contents: Sequence[bytes]) -> bytes:
    """Hash what files hold.

    Args:
        contents: N of them.

    Returns:
        N * 16 bytes, the BLAKE2b of each, in order.
    """
    if len(contents) < 2 or not can_digest():
        digests = (hashlib.blake2b(each, digest_size=DIGEST_BYTES).digest() for each in contents)
        return b"".join(digests)
    starts = np.array([np.frombuffer(each or b"\0", np.uint8).ctypes.data for each in contents])
    return digest_messages(starts, np.array([len(each) for each in contents])).tobytes()


def digest_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hash every image of an array by its pixels and its shape.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        uint8 (N, 16).
    """
    shape = repr(images.shape[1:]).encode()
    digest = _digest_in_place if images.flags.c_contiguous and can_digest() else _digest_one_by_one
    rows = np.arange(len(images))
    parts = [digest(images, places, shape) for places in Reader(images).portions(rows)]
    return np.concatenate(parts)


def _digest_in_place(
    images: NDArray[np.uint8], places: NDArray[np.int64], shape: bytes
) -> NDArray[np.uint8]:
    length = int(np.prod(images.shape[1:]))
    lengths = np.full(len(places), length)
    starts = images.ctypes.data + places * length
    return digest_messages(starts, lengths, prefix=shape, threads=torch.get_num_threads())


def _digest_one_by_one(
    images: NDArray[np.uint8], places: NDArray[np.int64], shape: bytes
) -> NDArray[np.uint8]:
    start = hashlib.blake2b(shape, digest_size=DIGEST_BYTES)
    digests = bytearray()
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
