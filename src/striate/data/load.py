"""The way in: whatever holds labelled images, as `Data`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from striate.data.assemble import assemble_files, resize_data
from striate.data.dataset import Data
from striate.data.download import Progress
from striate.data.preprocessing import LARGEST_SIDE, RESIZES, Resize
from striate.data.records import ArraySource, Origin
from striate.data.scan import Request
from striate.data.sources.detect import read_source
from striate.errors import DataError, UsageError

Source = str | Path | Data | tuple[Any, ...]


def load_data(
    source: Source,
    *,
    size: int = 0,
    resize: Resize = "squash",
    background: tuple[int, ...] | None = None,
    follow_links: bool = False,
    progress: Progress | None = None,
    cache: Path | None = None,
    threads: int | None = None,
) -> Data:
    """Load labelled images, decoded and checked.

    Args:
        source: A folder with one folder for each class (perhaps below train, val, test), a CSV or
            TSV file, an .npz file, a folder in MNIST's or CIFAR's layout, the name of a data set,
            arrays `(images, labels[, test_images, test_labels])`, or `Data`.
        size: The side in pixels that images are brought to; 0 keeps one size, or chooses by the
            images.
        resize: "squash", "crop" or "pad", see `Preprocessing`.
        background: What transparent pixels are laid on, 1 or 3 numbers in 0..255; white if not
            given.
        follow_links: Also take files outside the folder that symbolic links lead to.
        progress: Called with the images that are decoded (or downloaded) and the images in all.
        cache: Where decoded images are kept; `$STRIATE_CACHE`, else the user's cache folder, if not
            given.
        threads: How many decode at once; as many as there are processors if not given.

    Returns:
        Data, with the splits that the source gives and otherwise unassigned.

    Raises:
        DataError: If the source cannot be used; the message says why.
        ResourceError: If decoded images cannot be stored.
        UsageError: If an argument is out of range.
    """
    return load_requested(
        source,
        make_request(size, resize, background),
        follow_links=follow_links,
        progress=progress,
        cache=cache,
        threads=threads,
    )


def load_requested(
    source: Source,
    request: Request,
    *,
    follow_links: bool = False,
    progress: Progress | None = None,
    cache: Path | None = None,
    threads: int | None = None,
) -> Data:
    """As `load_data`, with all that can be asked for: also the interpolation and `photo_side`."""
    if isinstance(source, Data):
        return resize_data(source, request)
    if isinstance(source, tuple):
        return resize_data(arrays_from_tuple(source), request)
    path = Path(source).expanduser()
    named = str(path.absolute()) if path.exists() else str(source)
    found = read_source(source, follow_links=follow_links, cache=cache, progress=progress)
    if isinstance(found, ArraySource):
        data = resize_data(Data.from_source(found), request)
    else:
        data = assemble_files(found, request, cache=cache, threads=threads, progress=progress)
    asked = (request.size, request.resize, request.background)
    return replace(data, origin=Origin(named, *asked, follow_links))


def make_request(size: int, resize: str, background: tuple[int, ...] | None) -> Request:
    """Check what is asked for, once.

    Raises:
        UsageError: If an argument is out of range.
    """
    if not 0 <= size <= LARGEST_SIDE:
        raise UsageError(f"the size {size} is not in 0..{LARGEST_SIDE}", path="size")
    if resize not in RESIZES:
        raise UsageError(f"unknown: {resize}", path="resize", hint=f"known: {', '.join(RESIZES)}")
    good = background is None or (
        len(background) in (1, 3) and all(0 <= level <= 255 for level in background)
    )
    if not good:
        raise UsageError(f"{background} is no colour", path="background", hint="1 or 3 of 0..255")
    return Request(size, cast(Resize, resize), background)


def arrays_from_tuple(arrays: tuple[Any, ...]) -> Data:
    """Take `(images, labels)` or `(images, labels, test_images, test_labels)`.

    Raises:
        DataError: If they are neither, or do not fit.
    """
    if len(arrays) == 2:
        return Data.from_arrays(*arrays)
    if len(arrays) == 4:
        images, labels, test_images, test_labels = arrays
        return Data.from_arrays(images, labels, test_images=test_images, test_labels=test_labels)
    given = f"{len(arrays)} arrays"
    raise DataError(
        given, hint="expected (images, labels) or (images, labels, test_images, test_labels)"
    )
