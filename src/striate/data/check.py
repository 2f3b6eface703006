"""The data doctor: everything that can be told about a data set before a net is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from striate.data.assemble import assemble_files
from striate.data.dataset import Data
from striate.data.download import Progress
from striate.data.findings import near_problems
from striate.data.load import Source, arrays_from_tuple
from striate.data.nearness import is_searchable, unequal_pairs
from striate.data.problem import Problem, by_weight
from striate.data.records import FileSource
from striate.data.scan import Request
from striate.data.sources.detect import read_source


@dataclass(frozen=True)
class Check:
    """What the doctor found.

    Args:
        name: Of the data set.
        images: How many can be used.
        size: (H, W, C) that they are brought to.
        classes: How many images each class has.
        splits: How many images the source gives to each split.
        problems: What is wrong, or worth knowing.
    """

    name: str
    images: int
    size: tuple[int, int, int]
    classes: dict[str, int]
    splits: dict[str, int]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, object]:
        """The document of `check --json`."""
        return {
            "images": self.images,
            "classes": self.classes,
            "problems": [problem.to_json() for problem in self.problems],
        }


def check_data(
    source: Source,
    *,
    follow_links: bool = False,
    progress: Progress | None = None,
    cache: Path | None = None,
    threads: int | None = None,
) -> Check:
    """Check a data set: unreadable files, duplicates, leaks, conflicting labels, uneven classes.

    Unlike `load_data` it lists bad files however many there are.

    Args:
        source: As `load_data` takes it.
        follow_links: Also take files outside the folder that symbolic links lead to.
        progress: Called with the images that are decoded (or downloaded) and the images in all.
        cache: Where decoded images are kept.
        threads: How many decode at once.

    Raises:
        DataError: If the source is laid out wrongly, or has under two classes.
        ResourceError: If decoded images cannot be stored.
    """
    data = _load(source, follow_links, progress, cache, threads)
    problems = by_weight((*data.problems, *_near_problems(data)))
    height, width, channels = data.images.shape[1:]
    return Check(
        name=data.name,
        images=len(data),
        size=(height, width, channels),
        classes=data.counts(),
        splits=data.split_counts(),
        problems=problems,
    )


def _load(
    source: Source,
    follow_links: bool,
    progress: Progress | None,
    cache: Path | None,
    threads: int | None,
) -> Data:
    """As `load_data`, but for any number of bad files."""
    if isinstance(source, Data):
        return source
    if isinstance(source, tuple):
        return arrays_from_tuple(source)
    found = read_source(source, follow_links=follow_links, cache=cache, progress=progress)
    if isinstance(found, FileSource):
        return assemble_files(
            found, Request(), cache=cache, threads=threads, progress=progress, strict=False
        )
    return Data.from_source(found)


def _near_problems(data: Data) -> tuple[Problem, ...]:
    """The near duplicates, unless they are known already; where they cannot be told, say so."""
    if not is_searchable(data.images):
        reason = "small grey images look alike without being copies, and so do very many images"
        return (Problem("not-searched", (), f"near duplicates were not looked for: {reason}"),)
    if data.near_searched:
        return ()
    return tuple(near_problems(data.names, data.splits, unequal_pairs(data.images, data.contents)))
