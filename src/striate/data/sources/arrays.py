"""Arrays as a source: checked once, here, and brought to uint8 (N, H, W, C)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.findings import refuse_few_classes
from striate.data.names import escape_name
from striate.data.records import ArraySource
from striate.data.splits import Split
from striate.errors import DataError

SPLIT_NAMES = {"train": Split.TRAIN, "validation": Split.VALIDATION, "test": Split.TEST}
_LAYOUT = "expected images (N, H, W) or (N, H, W, C) with C 1 or 3"


def read_arrays(
    parts: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    name: str,
    classes: Sequence[str] | None = None,
    root: Path | None = None,
    mirror: bool | None = None,
) -> ArraySource:
    """Join the parts of a data set given as arrays.

    Args:
        parts: Images and labels of each of "train", "validation", "test"; images of a lone "train"
            part are left for Striate to split.
        name: Of the data set, for people; errors name it.
        classes: The class names; from the labels if not given.
        root: The file that the arrays come from.
        mirror: Whether a mirrored image keeps its class.

    Raises:
        DataError: If shapes, ranges or labels do not fit.
    """
    where = root or name
    images = [as_pixels(part[0], where=where) for part in parts.values()]
    labels = [_as_labels(part[1], where=where) for part in parts.values()]
    for part, part_images, part_labels in zip(parts, images, labels, strict=True):
        if len(part_images) != len(part_labels):
            given = f"{len(part_images)} images and {len(part_labels)} labels"
            raise DataError(f"{given} in the {part} part", path=where)
    if len({part.shape[1:] for part in images}) > 1:
        shapes = ", ".join(f"{name} {part.shape}" for name, part in zip(parts, images, strict=True))
        raise DataError(f"the parts differ in the shape of their images: {shapes}", path=where)
    return join_parts(
        images[0] if len(images) == 1 else np.concatenate(images),
        np.concatenate(labels),
        dict(zip(parts, map(len, images), strict=True)),
        name=name,
        classes=classes,
        root=root,
        mirror=mirror,
    )


def join_parts(
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    counts: Mapping[str, int],
    *,
    name: str,
    classes: Sequence[str] | None = None,
    root: Path | None = None,
    mirror: bool | None = None,
) -> ArraySource:
    """Make a source of images that lie one part after another.

    Args:
        images: uint8 (N, H, W, C).
        labels: (N,) whole numbers or text.
        counts: How many images each of "train", "validation", "test" has, in the order they lie.
        name: As in `read_arrays`, and so are the rest.
        classes: The class names.
        root: The file or folder.
        mirror: Whether a mirrored image keeps its class.

    Raises:
        DataError: If a label is not among the classes, or under two classes have images.
    """
    class_names, numbers = _number_labels(labels, classes, where=root or name)
    filled = np.bincount(numbers, minlength=len(class_names)) > 0
    present = [name for name, some in zip(class_names, filled, strict=True) if some]
    absent = [name for name, some in zip(class_names, filled, strict=True) if not some]
    refuse_few_classes(present, absent, root or name)
    alone = list(counts) == ["train"]
    codes = [Split.UNASSIGNED if alone else SPLIT_NAMES[part] for part in counts]
    return ArraySource(
        name=name,
        classes=class_names,
        images=images,
        labels=numbers,
        names=tuple(f"{part}/{place}" for part, n in counts.items() for place in range(n)),
        splits=np.repeat(np.array(codes, np.int8), list(counts.values())),
        root=root,
        mirror=mirror,
    )


def as_pixels(images: ArrayLike, *, where: object) -> NDArray[np.uint8]:
    """Bring images to uint8 (N, H, W, C) without loss.

    Args:
        images: (N, H, W) or (N, H, W, C), C 1 or 3: uint8, bool, whole numbers in 0..255, or floats
            in 0..1.
        where: What an error names.

    Raises:
        DataError: If the shape or the range is another.
    """
    try:
        array = np.asarray(images)
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"images of several shapes do not make an array: {error}", path=where
        ) from None
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        hint = _LAYOUT
        if array.ndim == 4 and array.shape[1] in (1, 3):
            hint += "; images.transpose(0, 2, 3, 1) moves the channels to the end"
        raise DataError(f"images have the shape {np.shape(images)}", path=where, hint=hint)
    if 0 in array.shape:
        raise DataError(f"there are no images in an array of shape {np.shape(images)}", path=where)
    return _as_bytes(array, where=where)


def _as_bytes(array: NDArray[Any], *, where: object) -> NDArray[np.uint8]:
    """Scale or cast pixels to uint8 by their kind and range."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise DataError(f"images hold {array.dtype}, not numbers", path=where)
    lowest, highest = array.min(), array.max()
    if array.dtype.kind in "iu" and lowest >= 0 and highest <= 255:
        return array.astype(np.uint8)
    # Written so that it is false for NaN.
    if array.dtype.kind == "f" and lowest >= 0 and highest <= 1:
        levels: NDArray[np.uint8] = np.rint(array * np.float32(255)).astype(np.uint8)
        return levels
    given = f"images of {array.dtype} lie in {lowest:g} .. {highest:g}"
    hint = "expected uint8, whole numbers in 0..255 or floats in 0..1"
    raise DataError(given, path=where, hint=hint)


def _as_labels(labels: ArrayLike, *, where: object) -> NDArray[Any]:
    """Labels as a flat array of whole numbers or of text."""
    array: NDArray[Any] = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = "expected one number or one text for each image"
        if array.ndim == 2:
            hint += "; labels.argmax(axis=1) undoes a one-hot coding"
        raise DataError(f"labels have the shape {array.shape}", path=where, hint=hint)
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.tolist()):
        array = array.astype(np.str_)
    if array.dtype.kind == "f" and np.array_equal(array, np.rint(array)):
        array = array.astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iuU":
        hint = "expected whole numbers or text"
        raise DataError(f"labels hold {array.dtype}", path=where, hint=hint)
    return array


def _number_labels(
    labels: NDArray[Any], classes: Sequence[str] | None, *, where: object
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and labels as int64 numbers of them."""
    if classes is None:
        values, numbers = np.unique(labels, return_inverse=True)
        names = tuple(escape_name(str(value)) for value in values.tolist())
        return names, numbers.reshape(-1).astype(np.int64)
    names = tuple(str(name) for name in classes)
    if len(set(names)) != len(names):
        raise DataError("two classes have the same name", path=where)
    if labels.dtype.kind == "U":
        unknown = sorted(set(labels.tolist()) - set(names))
        if unknown:
            raise DataError(f"the label {unknown[0]!r} is not among the classes", path=where)
        number_of = {name: number for number, name in enumerate(names)}
        return names, np.array([number_of[label] for label in labels.tolist()], np.int64)
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(names):
        outside = labels[(labels < 0) | (labels >= len(names))][0]
        last = len(names) - 1
        raise DataError(f"the label {outside} is not in 0 .. {last}", path=where)
    return names, labels.astype(np.int64)
