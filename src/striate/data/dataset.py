"""A data set in the form that everything after this room works on: arrays, names and splits."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.findings import find_problems
from striate.data.hashing import digest_images, manifest_hash
from striate.data.preprocessing import Interpolation, Preprocessing, Resize
from striate.data.problem import Problem, by_weight
from striate.data.records import ArraySource, Origin
from striate.data.sources.arrays import read_arrays
from striate.data.splits import TEST, TRAIN, Split, assign_splits, join_groups
from striate.data.statistics import channel_statistics
from striate.errors import DataError


@dataclass(frozen=True, eq=False)
class Data:
    """Labelled images, decoded, and what is known about them.

    Args:
        name: Of the data set, for people.
        classes: The K class names, in the order of the labels.
        images: uint8 (N, H, W, C), in memory or memory-mapped; C is 1 or 3.
        labels: int64 (N,), 0 .. K-1.
        names: N escaped names, such as "cats/01.jpg" or "train/7".
        splits: int8 (N,), codes of `Split`.
        contents: uint8 (N, 16), a hash of what each image holds.
        groups: int64 (N,), images that belong together, or None.
        problems: What the check found.
        root: The folder or file it came from.
        mirror: Whether a mirrored image keeps its class; None where nobody said.
        resize: How images were brought to one size.
        interpolation: How pixels were weighted at that.
        background: What transparent pixels were laid on.
        near_searched: Whether `problems` names the near duplicates.
        origin: What to ask `load_data` for to get the same again; None where that cannot be said,
            as of arrays.
    """

    name: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]
    splits: NDArray[np.int8]
    contents: NDArray[np.uint8] = field(repr=False)
    groups: NDArray[np.int64] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()
    root: Path | None = None
    mirror: bool | None = None
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    background: tuple[int, ...] = ()
    near_searched: bool = False
    origin: Origin | None = None

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        classes: Sequence[str] | None = None,
        test_images: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        name: str = "arrays",
    ) -> Data:
        """Take images that are arrays already.

        Args:
            images: (N, H, W) or (N, H, W, C), C 1 or 3: uint8, bool, whole numbers in 0..255, or
                floats in 0..1.
            labels: (N,) whole numbers or text.
            classes: The class names; from the labels if not given.
            test_images: Images for the test, of the same H, W and C.
            test_labels: Their labels.
            name: Of the data set, for people.

        Raises:
            DataError: If shapes, ranges or labels do not fit.
        """
        parts = {"train": (images, labels)}
        if (test_images is None) != (test_labels is None):
            raise DataError("test_images and test_labels must be given together", path=name)
        if test_images is not None and test_labels is not None:
            parts["test"] = (test_images, test_labels)
        return cls.from_source(read_arrays(parts, classes=classes, name=name))

    @classmethod
    def from_source(cls, source: ArraySource) -> Data:
        """Check what a source of arrays hands on; nothing is copied."""
        contents = digest_images(source.images)
        findings = find_problems(
            source.names, source.labels, source.splits, contents, source.classes
        )
        return cls(
            name=source.name,
            classes=source.classes,
            images=source.images,
            labels=source.labels,
            names=source.names,
            splits=source.splits,
            contents=contents,
            problems=by_weight((*source.problems, *findings)),
            root=source.root,
            mirror=source.mirror,
        )

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.labels)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How a new image is to be seen; mean and deviation are those of the training images."""
        seen = self.indices(TRAIN)
        if not len(seen):
            seen = np.flatnonzero(self.splits != TEST)
        mean, std = channel_statistics(self.images, seen)
        height, width, channels = self.images.shape[1:]
        return Preprocessing(
            size=(height, width),
            channels=channels,
            resize=self.resize,
            interpolation=self.interpolation,
            background=self.background,
            mean=mean,
            std=std,
        )

    @cached_property
    def manifest_hash(self) -> str:
        """SHA-256 in hexadecimal over name, label and content of every image, in order."""
        labels = [self.classes[label] for label in self.labels.tolist()]
        return manifest_hash(self.names, labels, self.contents)

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """int64 (N,): images of one number (equal content, or one group) are never separated."""
        return join_groups(self.contents, self.groups)

    def indices(self, split: int) -> NDArray[np.int64]:
        """The places of the images of a split, int64, in ascending order."""
        return np.flatnonzero(self.splits == split).astype(np.int64)

    def counts(self) -> dict[str, int]:
        """The number of images of each class, in the order of the classes."""
        counted = Counter(self.labels.tolist())
        return {name: counted[label] for label, name in enumerate(self.classes)}

    def split_counts(self) -> dict[str, int]:
        """The number of images of each split that has any, by its name in small letters."""
        counted = Counter(self.splits.tolist())
        return {code.name.lower(): counted[code] for code in Split if counted[code]}

    def split(self, *, validation: float = 0.1, test: float = 0.15, seed: int = 0) -> Data:
        """Give every image a split; validation and test images that the source names stay so.

        Stratified by class, exact duplicates and groups on one side, a class with one image in
        training.

        Args:
            validation: The share of the training images to take for validation, 0 <= share < 1.
            test: The share of all images to take for the test, if the source has no test images.
            seed: Another seed, another split.

        Raises:
            DataError: If a share is out of range, or nothing is left to train on.
        """
        for name, share in (("validation", validation), ("test", test)):
            if not 0 <= share < 1:
                raise DataError(f"the share {share:g} for {name} is not in 0 <= share < 1")
        splits = assign_splits(
            self.splits,
            self.labels,
            self.units,
            self.contents,
            validation=validation,
            test=test,
            seed=seed,
        )
        if not (splits == TRAIN).any():
            raise DataError("no images are left to train on", path=self.root or self.name)
        return replace(self, splits=splits)

    def manifest(self) -> str:
        """The text of `split.csv`: name, label and split of every image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("name", "label", "split"))
        rows = zip(self.names, self.labels.tolist(), self.splits.tolist(), strict=True)
        writer.writerows((n, self.classes[k], Split(s).name.lower()) for n, k, s in rows)
        return text.getvalue()
