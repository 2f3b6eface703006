"""The store: images decoded once, uint8 (N, H, W, C), memory-mapped from the cache folder.

A store is a folder `<key>` with `images.npy`, `digests.npy` (what each file holds), `rows.npy` (the
place in the listing of each image), `near.npy` (near duplicates) and `index.json` (what was
found). The key is a hash of the listing (path below the root, bytes, times of change) and of what
is asked for, so that a changed file gives another store.

It is written into a folder of another name, synced and renamed: it is there as a whole or not at
all. A store that nobody has opened for a month is removed when another one is made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.cache import cache_folder
from striate.data.download import Progress
from striate.data.durable import sync_folder
from striate.data.lock import locked
from striate.data.nearness import unequal_pairs
from striate.data.problem import Problem
from striate.data.records import FileSource, ImageFile
from striate.data.resize import Pixels
from striate.data.scan import Request, Scan, decode_all, inspect_all
from striate.errors import ResourceError
from striate.kernels import DIGEST_BYTES

_FORMAT = 2
_SUFFIX = ".tmp-"
_INDEX = "index.json"  # its time of writing is when the store was last opened
_KEPT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, eq=False)
class Store:
    """Decoded images and what was found while decoding.

    Args:
        images: uint8 (N, H, W, C), memory-mapped.
        contents: uint8 (N, 16), a hash of each file.
        rows: int64 (N,), the place in the listing of each image.
        near: int64 (M, 2), pairs of images that are nearly the same but not equal.
        problems: Files that are no images, and remarks.
    """

    images: Pixels
    contents: NDArray[np.uint8]
    rows: NDArray[np.int64]
    near: NDArray[np.int64]
    problems: tuple[Problem, ...]


def open_store(
    source: FileSource,
    request: Request,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Open the store of a listing; fill it first if it is not there.

    A second process that asks for the same store waits for the first one. What a killed process
    left is swept.

    Args:
        source: The listing.
        request: The size and how to reach it.
        cache: The cache folder, if not the user's.
        threads: How many decode at once; as many as there are processors if not given.
        progress: Called with the images done and the images in all.

    Raises:
        ResourceError: If the store cannot be written.
    """
    stores = cache_folder(cache) / "stores"
    place = stores / store_key(source.files, request)
    with _disk_errors(stores):
        stores.mkdir(parents=True, exist_ok=True)
        store = _read(place)
        if store is not None:
            with suppress(OSError):  # a cache that may only be read still serves
                os.utime(place / _INDEX)
            return store
        with locked(place.with_suffix(".lock")):
            _sweep(stores, place.name)
            return _read(place) or _fill(place, source.files, request, threads, progress)


def store_key(files: tuple[ImageFile, ...], request: Request) -> str:
    """Name a store by what it is made of."""
    listing = [[f.name, f.size, f.mtime_ns, f.ctime_ns] for f in files]
    document = json.dumps([_FORMAT, request.to_json(), listing], separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()[:40]


def _fill(
    place: Path,
    files: tuple[ImageFile, ...],
    request: Request,
    threads: int | None,
    progress: Progress | None,
) -> Store:
    """Decode all files into a folder of another name, and move it into place."""
    shutil.rmtree(place, ignore_errors=True)  # there only if it is damaged
    scan = inspect_all(files, request, threads=threads)
    temporary = Path(tempfile.mkdtemp(prefix=f"{place.name}{_SUFFIX}", dir=place.parent))
    try:
        if scan.rows:
            _write_images(temporary, files, scan, threads=threads, progress=progress)
        _write_index(temporary, scan)
        _write_near(temporary)
        sync_folder(temporary)
        temporary.rename(place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    store = _read(place)
    if store is None:
        raise OSError(errno.EIO, "what was written cannot be read back")
    return store


def _write_images(
    folder: Path,
    files: tuple[ImageFile, ...],
    scan: Scan,
    *,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Append the decoded images in the order of the listing, a few chunks in memory at a time."""
    preprocessing = scan.preprocessing
    shape = (*preprocessing.size, preprocessing.channels)
    needed = len(scan.rows) * int(np.prod(shape))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed >> 20} MB needed, {free >> 20} MB free")
    rows: list[int] = []
    digests = bytearray()
    with (folder / "images.npy").open("wb") as file:
        file.write(_npy_header(len(scan.rows), shape))
        for chunk in decode_all(files, scan, threads=threads, progress=progress):
            file.write(chunk.images.data)
            rows += chunk.rows
            digests += chunk.digests
        file.seek(0)
        file.write(_npy_header(len(rows), shape))
        file.flush()
        os.fsync(file.fileno())
    scan.rows[:] = rows
    scan.digests = bytes(digests)


def _npy_header(count: int, shape: tuple[int, ...]) -> bytes:
    """A header of .npy, version 1.0: 128 bytes whatever the count, as it is written twice."""
    fields = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(count, *shape)}, }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + fields.ljust(117).encode() + b"\n"


def _write_index(folder: Path, scan: Scan) -> None:
    digests = np.frombuffer(scan.digests, np.uint8).reshape(len(scan.rows), DIGEST_BYTES)
    _write_array(folder / "digests.npy", digests)
    _write_array(folder / "rows.npy", np.array(scan.rows, np.int64))
    document = {"format": _FORMAT, "problems": [problem.to_json() for problem in scan.problems]}
    with (folder / _INDEX).open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def _write_near(folder: Path) -> None:
    """Search for near duplicates once, while the pages of the images are still in memory."""
    pairs = np.empty((0, 2), np.int64)
    if (folder / "images.npy").is_file():
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        contents = np.load(folder / "digests.npy", allow_pickle=False)
        pairs = unequal_pairs(images, contents)
    _write_array(folder / "near.npy", pairs)


def _write_array(path: Path, array: NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _read(place: Path) -> Store | None:
    """The store at a place, or None where there is none or it is damaged."""
    try:
        document = json.loads((place / _INDEX).read_text(encoding="utf-8"))
        rows, contents, near = (
            np.load(place / f"{name}.npy", allow_pickle=False)
            for name in ("rows", "digests", "near")
        )
        images = np.zeros((0, 1, 1, 1), np.uint8)
        if len(rows):
            images = np.load(place / "images.npy", mmap_mode="r", allow_pickle=False)
        problems = tuple(
            Problem(entry["kind"], tuple(entry["paths"]), entry["message"])
            for entry in document["problems"]
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    whole = len(images) == len(rows) == len(contents)
    return Store(images, contents, rows, near, problems) if whole else None


def _sweep(stores: Path, mine: str) -> None:
    """Remove what killed processes left, and stores that have not been opened for long.

    A folder whose lock is held belongs to a living process.
    """
    leftovers = set(stores.glob(f"*{_SUFFIX}*"))
    oldest = time.time() - _KEPT_SECONDS
    for folder in leftovers | {i.parent for i in stores.glob(f"*/{_INDEX}") if _time(i) < oldest}:
        key = folder.name.partition(_SUFFIX)[0]
        if key == mine:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        with locked(stores / f"{key}.lock", wait=False) as held:
            if held:
                shutil.rmtree(folder, ignore_errors=True)


def _time(path: Path) -> float:
    """When a file was last written; now, if it has just gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


@contextmanager
def _disk_errors(stores: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        reason = f"disk full: {error.strerror}" if full else f"cannot be used: {error.strerror}"
        hint = "STRIATE_CACHE names another folder for decoded images"
        raise ResourceError(reason, path=stores, hint=hint) from None
