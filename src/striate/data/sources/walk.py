"""The entries of folders that count as data, and a note of all that is passed by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.names import escape_name, is_hidden
from striate.data.problem import Problem
from striate.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"}
)
_MESSAGES = {
    "hidden": "hidden or system files, ignored",
    "ignored": "not an image in a class folder, ignored",
    "outside-link": "links out of the folder, left aside (--follow-links takes them)",
    "link-loop": "links to a folder that is read already, left aside",
}


@dataclass
class Walk:
    """A walk through a folder: where it starts, where it has been, what it has passed by.

    Args:
        root: Names are relative to it.
        follow_links: Whether links may lead out of `root`.
    """

    root: Path
    follow_links: bool
    _passed: dict[str, list[str]] = field(default_factory=dict)
    _entered: set[str] = field(default_factory=set)

    def name(self, path: str | Path) -> str:
        """The escaped name of a path below the root, with slashes."""
        return escape_name(os.path.relpath(path, self.root).replace(os.sep, "/"))

    def pass_by(self, kind: str, path: str | Path) -> None:
        """Note what is not taken."""
        self._passed.setdefault(kind, []).append(self.name(path))

    def entries(self, folder: str | Path) -> list[os.DirEntry[str]]:
        """List a folder by name, real ones first; hidden ones and bad links are passed by.

        Raises:
            DataError: If the folder cannot be read.
        """
        try:
            with os.scandir(folder) as scan:
                found = sorted(scan, key=lambda e: (e.is_symlink(), os.fsencode(e.name)))
        except OSError as error:
            message = f"the folder cannot be read: {error.strerror}"
            raise DataError(message, path=escape_name(os.fspath(folder))) from None
        return [entry for entry in found if self._is_wanted(entry)]

    def enter(self, entry: os.DirEntry[str]) -> bool:
        """Whether a folder is new; one that links lead to twice is read once."""
        real = os.path.realpath(entry.path)
        if real in self._entered:
            self.pass_by("link-loop", entry.path)
            return False
        self._entered.add(real)
        return True

    def problems(self) -> Iterator[Problem]:
        """What was passed by, one entry a kind."""
        for kind, message in _MESSAGES.items():
            names = tuple(dict.fromkeys(self._passed.get(kind, ())))
            if names:
                yield Problem(kind, names, f"{message}: {len(names)}")

    def ignored(self) -> tuple[str, ...]:
        """The names of the files that are no images."""
        return tuple(self._passed.get("ignored", ()))

    def _is_wanted(self, entry: os.DirEntry[str]) -> bool:
        if is_hidden(entry.name):
            self.pass_by("hidden", entry.path)
            return False
        if not entry.is_symlink():
            return True
        target = os.path.realpath(entry.path)
        if is_folder(entry) and contains(target, Path(entry.path).parent):
            self.pass_by("link-loop", entry.path)
            return False
        if not self.follow_links and not contains(self.root, target):
            self.pass_by("outside-link", entry.path)
            return False
        return True


def contains(folder: str | Path, path: str | Path) -> bool:
    """Whether a path, all links resolved, lies in a folder."""
    real = os.path.realpath(folder)
    try:
        return os.path.commonpath((real, os.path.realpath(path))) == real
    except ValueError:  # another drive, or a NUL in the name
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link that leads round in a ring is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry claims to be an image: by its suffix, or by having none."""
    suffix = Path(entry.name).suffix.lower()
    return not is_folder(entry) and (suffix in IMAGE_SUFFIXES or not suffix)
