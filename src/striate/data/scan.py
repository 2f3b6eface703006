"""A listing's files decoded by several threads, after a look at as many headers as are needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal, TypeVar

import numpy as np

from striate.data.decode import BadImage, ImageFacts, decode_bytes, inspect_file, read_file
from striate.data.download import Progress
from striate.data.hashing import digest_files
from striate.data.preprocessing import Interpolation, Preprocessing, Resize
from striate.data.problem import Problem
from striate.data.records import ImageFile
from striate.data.resize import PHOTO_SIDE, Pixels, choose_size
from striate.kernels import keep_freed_memory

_FIRST_LOOK = 16  # files that mostly tell whether images have colours
_INSPECTED = 512  # files whose headers one thread reads at a time
_MOST_FILES, _MOST_BYTES = 8, 1 << 22  # of pixels, that one thread decodes at a time
_MOST_HELD = 1 << 24  # bytes of files, beyond which a thread hashes those it has
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")
_REMARKS = {
    "transparency": "transparent in places, laid on the background",
    "sixteen-bit": "more than 8 bits a level, scaled to 8",
    "float": "float levels, scaled to 8 bits",
    "animated": "several frames or pages, the first one taken",
    "exif-rotation": "turned upright as their EXIF data say",
}


@dataclass(frozen=True)
class Request:
    """What is asked of a store: `size` 0 chooses, by `photo_side`; `background` None is white."""

    size: int = 0
    resize: Resize = "squash"
    background: tuple[int, ...] | None = None
    interpolation: Interpolation = "bilinear"
    photo_side: int = PHOTO_SIDE

    def to_json(self) -> list[object]:
        """For the store's key, which the defaults that came later leave as it was."""
        usual = (self.interpolation, self.photo_side) == ("bilinear", PHOTO_SIDE)
        later = [] if usual else [self.interpolation, self.photo_side]
        return [self.size, self.resize, self.background, *later]

    def preprocessing(self, sizes: Iterable[tuple[int, int]], *, grey: bool) -> Preprocessing:
        """Settle size and channels by the images there are."""
        size = (self.size, self.size) if self.size else choose_size(sizes, self.photo_side)
        channels: Literal[1, 3] = 1 if grey else 3
        background = self.background or (255,)
        if len(background) != channels:
            background = (round(sum(background) / len(background)),) * channels
        return Preprocessing(
            size=size,
            channels=channels,
            resize=self.resize,
            interpolation=self.interpolation,
            background=background,
        )


@dataclass
class Scan:
    """What is known of a listing so far.

    Args:
        rows: The places in the listing, ascending, of the files that may be images; in the end, of
            those that are.
        preprocessing: What they are brought to.
        problems: Files that are no images, and remarks.
        digests: The hashes of the files at `rows`, one after another.
    """

    rows: list[int]
    preprocessing: Preprocessing
    problems: list[Problem]
    digests: bytes = b""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some decoded images: uint8 (n, H, W, C), their places in the listing, facts and hashes."""

    images: Pixels
    rows: list[int]
    facts: list[ImageFacts]
    digests: bytes
    bad: list[Problem]


def inspect_all(
    files: Sequence[ImageFile], request: Request, *, threads: int | None = None
) -> Scan:
    """Settle the size and the channels by the headers of the files.

    Where the size is given, the first image with colours settles both: the headers after it are
    read when the files are decoded.
    """
    found = _inspect_chunk(list(enumerate(files[:_FIRST_LOOK])))
    settled = request.size > 0 and any(
        isinstance(fact, ImageFacts) and not fact.grey for _, fact in found
    )
    later = list(enumerate(files))[_FIRST_LOOK:]
    if not settled:
        chunks = _in_order(_inspect_chunk, _chunks(later, _INSPECTED), threads)
        found += chain.from_iterable(chunks)
    rows = [row for row, fact in found if isinstance(fact, ImageFacts)]
    facts = [fact for _, fact in found if isinstance(fact, ImageFacts)]
    problems = [fact for _, fact in found if isinstance(fact, Problem)]
    sizes = [(fact.height, fact.width) for fact in facts] or [(1, 1)]
    grey = bool(facts) and all(fact.grey for fact in facts)
    if settled:
        rows += [row for row, _ in later]
    return Scan(rows, request.preprocessing(sizes, grey=grey), problems)


def decode_all(
    files: Sequence[ImageFile],
    scan: Scan,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Chunk]:
    """Decode the files at `scan.rows`, in order.

    Those that fail, and what there is to remark, are added to `scan.problems`.
    """

    def decode(rows: list[int]) -> Chunk:
        return _decode_chunk([(row, files[row]) for row in rows], scan.preprocessing)

    keep_freed_memory()
    height, width = scan.preprocessing.size
    image_bytes = height * width * scan.preprocessing.channels
    length = max(1, min(_MOST_FILES, _MOST_BYTES // image_bytes))
    done, total = 0, len(scan.rows)
    remarked: dict[str, list[str]] = {}
    for chunk in _in_order(decode, _chunks(tuple(scan.rows), length), threads):
        scan.problems += chunk.bad
        for row, facts in zip(chunk.rows, chunk.facts, strict=True):
            for kind in facts.notes:
                remarked.setdefault(kind, []).append(files[row].name)
        done += len(chunk.rows) + len(chunk.bad)
        yield chunk
        if progress is not None:
            progress(done, total)
    for kind, message in _REMARKS.items():
        if kind in remarked:
            names = tuple(remarked[kind])
            scan.problems.append(Problem(kind, names, f"{message}: {len(names)}"))


def _in_order(
    work: Callable[[_Given], _Found], items: Iterable[_Given], threads: int | None
) -> Iterator[_Found]:
    """Map by threads, results in order, no more than a few ahead of the reader."""
    count = threads or _processors()
    waiting: deque[Future[_Found]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="striate-decode") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _chunks(items: Iterable[_Given], length: int) -> Iterator[list[_Given]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, length)):
        yield chunk


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _inspect_chunk(
    files: Sequence[tuple[int, ImageFile]],
) -> list[tuple[int, ImageFacts | Problem]]:
    found: list[tuple[int, ImageFacts | Problem]] = []
    for row, file in files:
        try:
            found.append((row, inspect_file(file.path)))
        except BadImage as error:
            found.append((row, Problem(error.kind, (file.name,), str(error))))
    return found


def _decode_chunk(files: Sequence[tuple[int, ImageFile]], preprocessing: Preprocessing) -> Chunk:
    images = np.empty((len(files), *preprocessing.size, preprocessing.channels), np.uint8)
    rows: list[int] = []
    facts: list[ImageFacts] = []
    digests = bytearray()
    held: list[bytes] = []
    bad: list[Problem] = []
    for row, file in files:
        try:
            content = read_file(file.path)
            images[len(rows)], told = decode_bytes(content, preprocessing)
        except BadImage as error:
            bad.append(Problem(error.kind, (file.name,), str(error)))
        else:
            rows.append(row)
            facts.append(told)
            held.append(content)
            if sum(map(len, held)) > _MOST_HELD:
                digests += digest_files(held)
                held.clear()
    digests += digest_files(held)
    return Chunk(images[: len(rows)], rows, facts, bytes(digests), bad)
