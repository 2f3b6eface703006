"""A folder with one folder for each class, perhaps already split into train, val and test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from striate.data.names import escape_name, is_hidden
from striate.data.problem import Problem
from striate.data.records import FileSource, ImageFile
from striate.data.sources.tree import compare_trees
from striate.data.sources.walk import IMAGE_SUFFIXES, Walk, is_folder, is_image
from striate.data.splits import Split
from striate.errors import DataError

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


def read_folder(root: Path, *, follow_links: bool = False) -> FileSource:
    """List the images of a folder of class folders.

    Args:
        root: Holds one folder for each class, or `train/`, `val/` and `test/` that do.
        follow_links: Also take what lies outside `root` and is reached through symbolic links.

    Raises:
        DataError: If the folder is laid out otherwise; the message shows the tree expected and the
            one found.
    """
    walk = Walk(root, follow_links)
    files: list[ImageFile] = []
    classes: set[str] = set()
    unlabelled: list[Problem] = []
    for folder, split in _split_folders(walk):
        entries = walk.entries(folder)
        folders = [entry for entry in entries if is_folder(entry)]
        for entry in entries:
            if not is_folder(entry):
                walk.pass_by("ignored", entry.path)
        if not folders:
            unlabelled.append(_unlabelled(walk.name(folder)))
        for entry in filter(walk.enter, folders):
            classes.add(escape_name(entry.name))
            files.extend(_class_files(walk, entry, split))
    if not files:
        raise _wrong_layout(walk, _nothing_found(walk))
    _refuse_unlearnable(root, files)
    files.sort(key=lambda file: file.name.encode())
    problems = (*unlabelled, *walk.problems())
    return FileSource(folder_name(root), root, tuple(files), tuple(sorted(classes)), problems)


def folder_name(root: Path) -> str:
    """The name of a data set that is a folder."""
    return escape_name(root.resolve().name)


def file_record(path: str, name: str, label: str, *, split: int, group: str = "") -> ImageFile:
    """Describe a file; one that cannot be reached has size -1 and is found out when it is read."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return ImageFile(path, name, label, split, group, -1, 0, 0)
    times = status.st_mtime_ns, status.st_ctime_ns
    return ImageFile(path, name, label, split, group, status.st_size, *times)


def _split_folders(walk: Walk) -> list[tuple[str, int]]:
    """The folders that hold class folders, each with its split; the root if it is not split."""
    entries = walk.entries(walk.root)
    folders = [entry for entry in entries if is_folder(entry)]
    if not folders and any(map(is_image, entries)):
        message = "the images lie side by side, not in one folder for each class"
        raise _wrong_layout(walk, message)
    codes = {entry.path: SPLIT_FOLDERS.get(entry.name.lower()) for entry in folders}
    train = [path for path, code in codes.items() if code == Split.TRAIN]
    if train and None not in codes.values() and all(map(_holds_folders, train)):
        return [(path, int(code)) for path, code in codes.items() if code is not None]
    return [(os.fspath(walk.root), int(Split.UNASSIGNED))]


def _class_files(walk: Walk, folder: os.DirEntry[str], split: int) -> Iterator[ImageFile]:
    label = escape_name(folder.name)
    for entry in walk.entries(folder.path):
        if is_folder(entry):
            _refuse_nested(walk, entry.path)
            walk.pass_by("ignored", entry.path)
        elif is_image(entry):
            yield file_record(entry.path, walk.name(entry.path), label, split=split)
        else:
            walk.pass_by("ignored", entry.path)


def _holds_folders(folder: str) -> bool:
    with os.scandir(folder) as scan:
        return any(is_folder(entry) and not is_hidden(entry.name) for entry in scan)


def _refuse_nested(walk: Walk, folder: str) -> None:
    """Pass by a folder without images within a class; one with images is a wrong layout."""
    for below, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name):
                where = walk.name(Path(below, name))
                raise _wrong_layout(walk, f"{where} lies deeper than in the folder of its class")


def _nothing_found(walk: Walk) -> str:
    ignored = walk.ignored()
    if not ignored:
        return "no folder in it holds images"
    return f"it holds no images of a known format, but {len(ignored)} others such as {ignored[0]}"


def _wrong_layout(walk: Walk, found: str) -> DataError:
    return DataError(
        f"{found}; {compare_trees(walk.root)}",
        path=escape_name(os.fspath(walk.root)),
        hint=_better_root(walk) or "a CSV file with the columns path and label works too",
    )


def _better_root(walk: Walk) -> str | None:
    """The one folder in the root, if the classes lie in that."""
    folders = [entry.path for entry in walk.entries(walk.root) if is_folder(entry)]
    if len(folders) == 1 and _holds_folders(folders[0]):
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
