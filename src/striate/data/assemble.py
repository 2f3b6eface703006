"""From a listing of files to `Data`: decoded, checked, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from striate.data.dataset import Data
from striate.data.download import Progress
from striate.data.findings import find_problems, near_problems, refuse_few_classes
from striate.data.names import escape_name
from striate.data.problem import Problem, by_weight
from striate.data.records import FileSource
from striate.data.resize import fit_array
from striate.data.scan import Request
from striate.data.store import Store, open_store
from striate.errors import DataError

# Kinds of files that are left out of the data set.
BAD_KINDS = ("unreadable", "truncated", "too-large", "too-many-frames", "vanished")
_LARGEST_BAD_SHARE = 0.05
_LARGEST_VANISHED_SHARE = 0.01
_SHOWN = 3


def resize_data(data: Data, request: Request) -> Data:
    """Bring decoded images to another size; those of the size asked for, or of no size, stay."""
    height, width, channels = data.images.shape[1:]
    if not request.size or (height, width) == (request.size, request.size):
        return data
    preprocessing = request.preprocessing([(height, width)], grey=channels == 1)
    images = fit_array(data.images, preprocessing)
    return replace(
        data,
        images=images,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        background=preprocessing.background,
        origin=None,  # scaled once more: its source scaled once would give other pixels
    )


def assemble_files(
    source: FileSource,
    request: Request,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    strict: bool = True,
) -> Data:
    """Make `Data` of files: decoded into the store, or found there.

    Args:
        source: The listing.
        request: The size and how to reach it.
        cache: The cache folder, if not the user's.
        threads: How many decode at once.
        progress: Called with the images done and the images in all.
        strict: Whether more than 5 % of bad files are an error.

    Raises:
        DataError: If too many files are bad, or under two classes have images.
        ResourceError: If the store cannot be written.
    """
    store = open_store(source, request, cache=cache, threads=threads, progress=progress)
    if strict:
        _refuse_bad(source, store)
    files = [source.files[row] for row in store.rows.tolist()]
    classes = tuple(sorted({file.label for file in files}))
    empty = [name for name in source.classes if name not in classes]
    refuse_few_classes(classes, empty, source.root)
    number_of = {name: number for number, name in enumerate(classes)}
    names = tuple(file.name for file in files)
    labels = np.array([number_of[file.label] for file in files], np.int64)
    splits = np.array([file.split for file in files], np.int8)
    findings = (
        *find_problems(names, labels, splits, store.contents, classes),
        *near_problems(names, splits, store.near),
    )
    return Data(
        name=source.name,
        classes=classes,
        images=store.images,
        labels=labels,
        names=names,
        splits=splits,
        contents=store.contents,
        groups=_number_groups([file.group for file in files]),
        problems=by_weight(
            (*source.problems, *map(_empty_class, empty), *store.problems, *findings)
        ),
        root=source.root,
        resize=request.resize,
        interpolation=request.interpolation,
        background=request.preprocessing([(1, 1)], grey=store.images.shape[3] == 1).background,
        near_searched=True,
    )


def _number_groups(groups: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Number the groups; an image without one is a group of itself."""
    if not any(groups):
        return None
    numbers: dict[str | int, int] = {}
    keys: list[str | int] = [group or place for place, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _empty_class(name: str) -> Problem:
    return Problem("empty-class", (name,), f"the class {name} has no images and is left aside")


def _refuse_bad(source: FileSource, store: Store) -> None:
    total = len(source.files)
    bad = [problem for problem in store.problems if problem.kind in BAD_KINDS]
    vanished = [problem for problem in bad if problem.kind == "vanished"]
    too_many = len(bad) > _LARGEST_BAD_SHARE * total
    if not too_many and len(vanished) <= _LARGEST_VANISHED_SHARE * total:
        return
    shown = "; ".join(f"{p.paths[0]}: {p.message}" for p in bad[:_SHOWN])
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise DataError(
        f"{len(bad)} of {total} images cannot be used: {shown}{more}",
        path=escape_name(str(source.root)),
        hint="striate check lists them all",
    )
