"""A folder with one folder for each class, perhaps already split into train, val and test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.names import escape_name, is_hidden
from striate.data.problem import Problem
from striate.data.records import FileSource, ImageFile
from striate.data.sources.tree import EXPECTED_TREE, draw_tree
from striate.data.splits import Split
from striate.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"}
)
SPLIT_FOLDERS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}


@dataclass
class _Notes:
    """What a walk passes by."""

    hidden: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Walk:
    """How a tree is walked: where it starts, and what is noted on the way."""

    root: Path
    follow_links: bool
    notes: _Notes

    def name(self, path: str) -> str:
        return escape_name(os.path.relpath(path, self.root).replace(os.sep, "/"))


def read_folder(root: Path, *, follow_links: bool = False) -> FileSource:
    """List the images of a folder of class folders.

    Args:
        root: Holds one folder for each class, or `train/`, `val/` and `test/` that do.
        follow_links: Also take what lies outside `root` and is reached through symbolic links.

    Raises:
        DataError: If the folder is laid out otherwise; the message shows the tree expected and the one found.
    """
    walk = _Walk(root, follow_links, _Notes())
    files: list[ImageFile] = []
    classes: dict[str, None] = {}
    problems: list[Problem] = []
    for folder, split in _split_folders(walk):
        folders = [entry for entry in _visible(walk, folder) if entry.is_dir()]
        if not folders and split == Split.TEST:
            problems.append(_unlabelled(walk.name(folder)))
        for entry in folders:
            label = escape_name(entry.name)
            classes[label] = None
            files.extend(_class_files(walk, entry.path, label, split))
    if not files:
        raise _wrong_layout(walk, "no folder in it holds images")
    _refuse_unlearnable(root, files)
    problems += _note_problems(walk.notes)
    name = escape_name(root.resolve().name)
    return FileSource(name, root, tuple(files), tuple(sorted(classes)), tuple(problems))


def file_record(path: str, name: str, label: str, *, split: int, group: str = "") -> ImageFile:
    """Describe a file; one that cannot be reached has size -1 and is found out when it is read."""
    try:
        status = os.stat(path)
    except OSError:
        return ImageFile(path, name, label, split, group, -1, 0, 0)
    times = status.st_mtime_ns, status.st_ctime_ns
    return ImageFile(path, name, label, split, group, status.st_size, *times)


def _split_folders(walk: _Walk) -> list[tuple[str, int]]:
    """The folders that hold class folders, each with its split; the root itself if it is not split."""
    entries = _visible(walk, os.fspath(walk.root))
    folders = [entry for entry in entries if entry.is_dir()]
    codes = [SPLIT_FOLDERS.get(entry.name.lower()) for entry in folders]
    held = {entry.name: _kinds(entry.path) for entry in folders}
    train = [e.name for e, code in zip(folders, codes, strict=True) if code == Split.TRAIN]
    if None not in codes and train and all("folders" in held[name] for name in train):
        pairs = zip(folders, codes, strict=True)
        return [(entry.path, int(code)) for entry, code in pairs if code is not None]
    if not folders and any(_is_image(entry) for entry in entries):
        raise _wrong_layout(walk, "the images lie side by side, not in one folder for each class")
    return [(os.fspath(walk.root), int(Split.UNASSIGNED))]


def _class_files(walk: _Walk, folder: str, label: str, split: int) -> Iterator[ImageFile]:
    for entry in _visible(walk, folder):
        if entry.is_dir():
            _refuse_nested(walk, entry.path)
        elif _is_image(entry):
            yield file_record(entry.path, walk.name(entry.path), label, split=split)
        else:
            walk.notes.ignored.append(walk.name(entry.path))


def _visible(walk: _Walk, folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder, by name, without hidden ones and links that lead out or round."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        message = f"the folder cannot be read: {error.strerror}"
        raise DataError(message, path=escape_name(folder)) from None
    return [entry for entry in entries if _is_wanted(walk, entry)]


def _is_wanted(walk: _Walk, entry: os.DirEntry[str]) -> bool:
    notes = walk.notes
    if is_hidden(entry.name):
        notes.hidden.append(walk.name(entry.path))
        return False
    if not entry.is_symlink():
        return True
    target = os.path.realpath(entry.path)
    root = os.path.realpath(walk.root)
    if entry.is_dir() and _contains(target, os.path.realpath(os.path.dirname(entry.path))):
        notes.loops.append(walk.name(entry.path))
        return False
    if not _contains(root, target) and not walk.follow_links:
        notes.outside.append(walk.name(entry.path))
        return False
    return True


def _contains(folder: str, path: str) -> bool:
    return os.path.commonpath((folder, path)) == folder


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether a file claims to be an image: by its suffix, or by having none."""
    if entry.is_dir():
        return False
    suffix = os.path.splitext(entry.name)[1].lower()
    return suffix in IMAGE_SUFFIXES or not suffix


def _kinds(folder: str) -> set[str]:
    """What a folder holds: "folders", "images"."""
    with os.scandir(folder) as scan:
        entries = [entry for entry in scan if not is_hidden(entry.name)]
    folders = any(entry.is_dir() for entry in entries)
    images = any(_is_image(entry) for entry in entries)
    return {kind for kind, there in (("folders", folders), ("images", images)) if there}


def _refuse_nested(walk: _Walk, folder: str) -> None:
    """An empty folder within a class is passed by; one with images is a wrong layout."""
    for below, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        shown = [name for name in files if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]
        if shown:
            where = walk.name(os.path.join(below, shown[0]))
            raise _wrong_layout(walk, f"{where} lies deeper than in a folder of its class")
    walk.notes.ignored.append(walk.name(folder))


def _wrong_layout(walk: _Walk, found: str) -> DataError:
    return DataError(
        f"{found}; found:\n{draw_tree(walk.root)}\nexpected:\n{EXPECTED_TREE}\n",
        path=escape_name(os.fspath(walk.root)),
        hint=_better_root(walk) or "or a CSV file with the columns path and label",
    )


def _better_root(walk: _Walk) -> str | None:
    """The one folder in the root, if the classes lie in that."""
    folders = [entry.path for entry in _visible(walk, os.fspath(walk.root)) if entry.is_dir()]
    if len(folders) == 1 and "folders" in _kinds(folders[0]):
        return f"did you mean {escape_name(folders[0])}?"
    return None


def _refuse_unlearnable(root: Path, files: list[ImageFile]) -> None:
    """A class that the test knows and the training does not is a slip in the folder names."""
    trained = {file.label for file in files if file.split in (Split.TRAIN, Split.UNASSIGNED)}
    unknown = sorted({file.label for file in files} - trained)
    if unknown:
        raise DataError(
            f"no training images of the class {unknown[0]}, which val or test has",
            path=escape_name(os.fspath(root)),
            hint=f"the training classes are {', '.join(sorted(trained)[:10])}",
        )


def _unlabelled(name: str) -> Problem:
    return Problem("unlabelled", (name,), f"{name} holds no class folders and is left aside")


def _note_problems(notes: _Notes) -> Iterator[Problem]:
    flag = "links lead out of the folder and are left aside (--follow-links takes them)"
    for kind, names, message in (
        ("hidden", notes.hidden, "hidden or system files are ignored"),
        ("ignored", notes.ignored, "files are no images and are ignored"),
        ("outside-link", notes.outside, flag),
        ("link-loop", notes.loops, "links lead back to a folder above and are left aside"),
    ):
        if names:
            yield Problem(kind, tuple(names), f"{len(names)} {message}")
