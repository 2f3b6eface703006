"""What can be told about a data set from its labels, its splits and the hashes of its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from striate.data.hashing import content_keys
from striate.data.names import escape_name
from striate.data.problem import Problem
from striate.data.splits import UNASSIGNED, Split
from striate.errors import DataError

_IMBALANCE = 10  # times as many images in the largest class as in the smallest


def find_problems(
    names: Sequence[str],
    labels: NDArray[np.int64],
    splits: NDArray[np.int8],
    contents: NDArray[np.uint8],
    classes: Sequence[str],
) -> tuple[Problem, ...]:
    """Find duplicates, leaks, conflicting labels, and classes that are too small or uneven.

    Args:
        names: N escaped names.
        labels: int64 (N,).
        splits: int8 (N,), as the source gives them.
        contents: uint8 (N, 16), hashes of what the images hold.
        classes: The K class names.
    """
    found = list(_class_problems(names, labels, classes))
    for members in _equal_images(contents):
        paths = tuple(names[member] for member in members)
        found.append(Problem("duplicate", paths, f"{len(paths)} files hold the same image"))
        found += _contradictions(paths, labels[members], splits[members], classes)
    return tuple(found)


def near_problems(
    names: Sequence[str], splits: NDArray[np.int8], pairs: NDArray[np.int64]
) -> Iterator[Problem]:
    """Name the pairs of `near_duplicates`, and say where a pair lies on two sides of a split.

    Args:
        names: N escaped names.
        splits: int8 (N,), as the source gives them.
        pairs: int64 (M, 2), places of images that are nearly the same.
    """
    for first, second in pairs.tolist():
        sides = sorted({Split(splits[first]), Split(splits[second])})
        message = "two images are nearly the same"
        if len(sides) > 1:
            message += f", one in {sides[0].name.lower()}, one in {sides[1].name.lower()}"
        yield Problem("near-duplicate", (names[first], names[second]), message)


def refuse_few_classes(classes: Sequence[str], empty: Sequence[str], where: object) -> None:
    """Refuse a data set in which under two classes have images.

    Args:
        classes: The classes that have images.
        empty: Those that have none.
        where: The folder, file or name of the data set.

    Raises:
        DataError: If there are under two; it names them.
    """
    if len(classes) >= 2:
        return
    named = f"the only class with images is {classes[0]}" if classes else "no class has images"
    beside = f"; without images: {', '.join(empty[:10])}" if empty else ""
    raise DataError(
        f"{named}{beside}", path=escape_name(str(where)), hint="at least two classes are needed"
    )


def _equal_images(contents: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """The places of the images of equal content, for each content there is more than once."""
    keys = content_keys(contents)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, keys[order][1:] != keys[order][:-1]))
    stops = np.append(starts[1:], len(order))
    several = stops - starts > 1
    spans = zip(starts[several].tolist(), stops[several].tolist(), strict=True)
    return sorted((order[start:stop] for start, stop in spans), key=lambda group: int(group[0]))


def _contradictions(
    paths: tuple[str, ...],
    labels: NDArray[np.int64],
    splits: NDArray[np.int8],
    classes: Sequence[str],
) -> Iterator[Problem]:
    """Equal images that differ in their class, or lie on two sides of a split."""
    given = sorted({classes[label] for label in labels.tolist()})
    if len(given) > 1:
        message = f"one image has the labels {' and '.join(given)}"
        yield Problem("conflicting-labels", paths, message)
    sides = sorted(set(splits.tolist()) - {int(UNASSIGNED)})
    if len(sides) > 1:
        shown = " and ".join(Split(side).name.lower() for side in sides)
        yield Problem("leak", paths, f"one image is in {shown}")


def _class_problems(
    names: Sequence[str], labels: NDArray[np.int64], classes: Sequence[str]
) -> Iterator[Problem]:
    counts = np.bincount(labels, minlength=len(classes))
    for place in np.flatnonzero(counts[labels] == 1).tolist():
        message = f"the class {classes[labels[place]]} has one image, which stays in training"
        yield Problem("single-image-class", (names[place],), message)
    for label in np.flatnonzero(counts == 0).tolist():
        yield Problem("empty-class", (classes[label],), f"the class {classes[label]} has no images")
    largest = int(counts.argmax())
    smallest = int(np.where(counts > 0, counts, counts.max()).argmin())
    if counts[largest] >= _IMBALANCE * counts[smallest]:
        most = f"{classes[largest]} has {counts[largest]} images"
        least = f"{classes[smallest]} {counts[smallest]}"
        message = f"{most}, {least}: loss.class_weights=balanced may help"
        yield Problem("imbalance", (), message)
