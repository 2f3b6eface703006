"""What a source hands on: files still to be decoded, or arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.preprocessing import Resize
from striate.data.problem import Problem


@dataclass(frozen=True)
class Origin:
    """What `load_data` was asked for, so that it can be asked again.

    Args:
        source: An absolute path, or the name of a data set.
        size: The side asked for; 0 for none.
        resize: How images were to be brought to it.
        background: What transparent pixels were to be laid on; None for white.
        follow_links: Whether links out of the folder were followed.
    """

    source: str
    size: int = 0
    resize: Resize = "squash"
    background: tuple[int, ...] | None = None
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that should hold an image.

    Args:
        path: Where it lies, as `os` functions take it.
        name: Its escaped path below the root.
        label: The escaped name of its class.
        split: A code of `Split`.
        group: Images of one group are never separated; empty for none.
        size: In bytes.
        mtime_ns: When it was last written.
        ctime_ns: When anything about it was last changed: the time that no tool sets back.
    """

    path: str
    name: str
    label: str
    split: int
    group: str
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class FileSource:
    """A data set whose images are files; `classes` may name some that have no file."""

    name: str
    root: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A data set whose images are an array.

    Images are uint8 (N, H, W, C), labels int64 (N,), splits int8 (N,).
    """

    name: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]
    splits: NDArray[np.int8]
    root: Path | None = None
    mirror: bool | None = None
    problems: tuple[Problem, ...] = ()
