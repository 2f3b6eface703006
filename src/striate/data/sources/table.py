"""A CSV or TSV file of paths and labels, perhaps with a split and a group for each image."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from striate.data.names import escape_name
from striate.data.problem import Problem
from striate.data.records import FileSource, ImageFile
from striate.data.sources.folder import SPLIT_FOLDERS, file_record
from striate.data.sources.walk import contains
from striate.data.splits import Split
from striate.errors import DataError

_COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class"),
    "split": ("split",),
    "group": ("group",),
}
_LARGEST_LOST_SHARE = 0.05  # as of images that cannot be read
_HINT = "expected a first line with the columns path and label, and perhaps split and group"


def read_table(path: Path, *, follow_links: bool = False) -> FileSource:
    """Read a table; paths in it are relative to its folder.

    Args:
        path: A file ending in .csv or .tsv, UTF-8; commas, semicolons or tabs between the columns.
        follow_links: Also take images outside the table's folder.

    Raises:
        DataError: If columns are missing, a split is unknown, or no row names an image.
    """
    root = path.parent
    files: list[ImageFile] = []
    bad: list[str] = []
    outside: list[str] = []
    for line, row in _rows(path):
        if not row["path"] or not row["label"]:
            bad.append(f"line {line}")
            continue
        place = os.fspath(root / row["path"])
        name = escape_name(row["path"].replace(os.sep, "/"))
        if not follow_links and not contains(root, place):
            outside.append(name)
            continue
        split = _split_code(row["split"], path, line)
        label = escape_name(row["label"])
        files.append(file_record(place, name, label, split=split, group=row["group"]))
    problems = _problems(bad, outside)
    lost = len(bad) + len(outside)
    if not files or lost > _LARGEST_LOST_SHARE * (lost + len(files)):
        reasons = "; ".join(problem.message for problem in problems) or "it has no rows"
        raise DataError(f"too few rows can be used: {reasons}", path=path, hint=_HINT)
    files.sort(key=lambda file: (file.name.encode(), file.label))
    classes = tuple(sorted({file.label for file in files}))
    return FileSource(escape_name(path.stem), root, tuple(files), classes, tuple(problems))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their line numbers; columns that the table lacks are empty."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = file.readline()
            delimiter = max("\t;,", key=header.count)
            columns = _find_columns(next(csv.reader([header], delimiter=delimiter), []), path)
            reader = csv.reader(file, delimiter=delimiter)
            return [
                (reader.line_num + 1, _pick(row, columns))
                for row in reader
                if any(map(str.strip, row))
            ]
    except csv.Error as error:
        raise DataError(f"it cannot be read as a table: {error}", path=path, hint=_HINT) from None
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}", path=path) from None


def _find_columns(header: list[str], path: Path) -> dict[str, int]:
    found = [title.strip().lower() for title in header]
    columns: dict[str, int] = {}
    for column, titles in _COLUMNS.items():
        places = [found.index(title) for title in titles if title in found]
        if places:
            columns[column] = places[0]
        elif column in ("path", "label"):
            given = escape_name(", ".join(header)[:80])
            raise DataError(
                f"no column {column}; its first line is: {given}", path=path, hint=_HINT
            )
    return columns


def _pick(row: list[str], columns: dict[str, int]) -> dict[str, str]:
    picked = dict.fromkeys(_COLUMNS, "")
    for column, place in columns.items():
        picked[column] = row[place].strip() if place < len(row) else ""
    return picked


def _split_code(text: str, path: Path, line: int) -> int:
    if not text:
        return int(Split.UNASSIGNED)
    if text.lower() not in SPLIT_FOLDERS:
        hint = "expected train, val, test or nothing"
        raise DataError(f"line {line} has the split {escape_name(text)!r}", path=path, hint=hint)
    return int(SPLIT_FOLDERS[text.lower()])


def _problems(bad: list[str], outside: list[str]) -> list[Problem]:
    problems = []
    if bad:
        message = f"rows without a path or a label, left aside: {len(bad)}"
        problems.append(Problem("bad-row", tuple(bad), message))
    if outside:
        message = "outside the table's folder, left aside (--follow-links takes them)"
        problems.append(Problem("outside-link", tuple(outside), f"{message}: {len(outside)}"))
    return problems
