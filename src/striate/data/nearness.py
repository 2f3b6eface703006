"""Near duplicates: images that differ by what recompression, scaling or a small edit changes.

A perceptual hash finds candidates: the signs of the 63 lowest frequencies of the brightness against
their median (as in pHash; Zauner, Implementation and benchmarking of perceptual image hash
functions, 2010). A candidate counts only if its brightness also agrees pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from striate.data.memory import release_pages

LARGEST = 200_000  # images; beyond, the search would take minutes
_FREQUENCIES = 8  # of each axis
_BANDS, _BAND_BITS = 5, 12  # hashes that differ in up to 4 bits agree in one band at least
_MOST_BITS = 12  # of 63, in which a candidate may differ
# Of the pixels. On CIFAR-10, of 96 pairs between it and 0.95 three were no copies to the eye.
_SMALLEST_CORRELATION = 0.93
_SMALLEST_DEVIATION = 6.0  # levels; flatter images all look alike
_LARGEST_BUCKET = 256  # images; a pattern that more of them share tells nothing
_SMALLEST_GREY = 32  # pixels; smaller grey images (digits, letters) look alike without being copies
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
_CHUNK = 1 << 22  # bytes of pixels at a time
_TOGETHER = 1 << 19  # bytes of pixels transformed at a time: as fp32 they stay in the cache

_Places = NDArray[np.int64]


def is_searchable(images: NDArray[np.uint8]) -> bool:
    """Whether near duplicates can be told: not in small grey images, nor among too many."""
    count, height, width, channels = images.shape
    if not count:
        return False
    small = channels == 1 and min(height, width) <= _SMALLEST_GREY
    return count <= LARGEST and not small


def near_duplicates(images: NDArray[np.uint8]) -> _Places:
    """Find pairs of images that are nearly the same.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        int64 (M, 2), ascending, the smaller place first; equal images are pairs too.
    """
    hashes = perceptual_hashes(images)
    pairs = _candidates(hashes)
    kept = [chunk[_agree(images, chunk)] for chunk in _chunks(pairs, images[0].nbytes)]
    return np.concatenate(kept) if kept else np.empty((0, 2), np.int64)


def unequal_pairs(images: NDArray[np.uint8], contents: NDArray[np.uint8]) -> _Places:
    """The near duplicates whose contents differ; none where they cannot be told.

    Args:
        images: uint8 (N, H, W, C).
        contents: uint8 (N, 16), hashes of what they hold.

    Returns:
        int64 (M, 2).
    """
    if not is_searchable(images):
        return np.empty((0, 2), np.int64)
    pairs = near_duplicates(images)
    unequal: _Places = pairs[(contents[pairs[:, 0]] != contents[pairs[:, 1]]).any(axis=1)]
    return unequal


def perceptual_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash the coarse brightness of images.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        uint64 (N,), 63 bits that differ in few places for images that look alike.
    """
    count, height, width, channels = images.shape
    luma = _LUMA if channels == 3 else np.ones(1, np.float32)
    rows = _cosines(height)
    columns = np.kron(_cosines(width), luma).T.copy()  # (W * C, 8): the colours are summed in it
    hashes = np.empty(count, np.uint64)
    step = max(1, _TOGETHER // images[0].nbytes)
    for start in range(0, count, step):
        part = images[start : start + step]
        levels = part.reshape(len(part), height, width * channels).astype(np.float32)
        spectrum = (rows @ levels @ columns).reshape(len(part), -1)[:, 1:]  # (n, 63)
        bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
        packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
        hashes[start : start + step] = packed.view(np.uint64).reshape(-1)
        release_pages(images)
    return hashes


def _cosines(size: int) -> NDArray[np.float32]:
    """The lowest frequencies of the discrete cosine transform, (8, size)."""
    places = (np.arange(size) + 0.5) / size
    return np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), places)).astype(np.float32)


def _brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The luma of the colours, as in ITU-R BT.601, (n, H, W)."""
    if images.shape[3] == 1:
        return images[..., 0].astype(np.float32)
    red, green, blue = (images[..., channel] * share for channel, share in enumerate(_LUMA))
    luma: NDArray[np.float32] = red + green + blue
    return luma


def _candidates(hashes: NDArray[np.uint64]) -> _Places:
    """Pairs whose hashes agree in a band and differ in few bits, int64 (M, 2)."""
    found = [np.empty((0, 2), np.int64)]
    for band in range(_BANDS):
        keys = (hashes >> np.uint64(_BAND_BITS * band)) & np.uint64((1 << _BAND_BITS) - 1)
        for pairs in _pairs_within(keys):
            differing = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
            found.append(pairs[_count_bits(differing) <= _MOST_BITS])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _pairs_within(keys: NDArray[np.uint64]) -> Iterator[_Places]:
    """All pairs of places with equal keys: those one apart in sorted order, then two, and so on."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    sizes = np.searchsorted(ranked, ranked, "right") - np.searchsorted(ranked, ranked, "left")
    order, ranked = order[sizes <= _LARGEST_BUCKET], ranked[sizes <= _LARGEST_BUCKET]
    for apart in range(1, _LARGEST_BUCKET):
        same = ranked[apart:] == ranked[:-apart]
        if not same.any():
            return
        yield np.stack((order[:-apart][same], order[apart:][same]), axis=1)


def _count_bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of bits set in each value."""
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1)
    counts: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return counts


def _chunks(pairs: _Places, image_bytes: int) -> Iterator[_Places]:
    step = max(1, _CHUNK // image_bytes)
    for start in range(0, len(pairs), step):
        yield pairs[start : start + step]


def _agree(images: NDArray[np.uint8], pairs: _Places) -> NDArray[np.bool_]:
    """Whether the brightness of the two images of each pair is correlated pixel by pixel."""
    first, second = (_centred(images[pairs[:, side]]) for side in (0, 1))
    release_pages(images)
    deviations = [np.sqrt((part**2).mean(axis=1)) for part in (first, second)]
    covariance = (first * second).mean(axis=1)
    alike = covariance >= _SMALLEST_CORRELATION * deviations[0] * deviations[1]
    agree: NDArray[np.bool_] = alike & (np.minimum(*deviations) >= _SMALLEST_DEVIATION)
    return agree


def _centred(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness without its mean, (n, H * W)."""
    flat = _brightness(images).reshape(len(images), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat
