"""Which kind of source a path or a name is."""

from __future__ import annotations

import difflib
import tarfile
import zipfile
from pathlib import Path

from striate.data.download import Progress
from striate.data.names import escape_name
from striate.data.records import ArraySource, FileSource
from striate.data.sources.cifar import is_cifar_folder, read_cifar_folder
from striate.data.sources.folder import folder_name, read_folder
from striate.data.sources.idx import is_idx_folder, read_idx_folder
from striate.data.sources.named import named_sets, read_named
from striate.data.sources.npz import read_npz
from striate.data.sources.table import read_table
from striate.data.sources.tree import compare_trees
from striate.data.sources.walk import IMAGE_SUFFIXES
from striate.errors import DataError

_ACCEPTED = (
    "expected a folder with one folder for each class, a CSV or TSV file, an .npz file or a name"
)


def read_source(
    source: str | Path,
    *,
    follow_links: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FileSource | ArraySource:
    """List or read what a path or a name stands for; a name that is also a path is the path.

    Raises:
        DataError: If it is nothing that Striate reads.
    """
    path = Path(source).expanduser()
    known = {named.name: named for named in named_sets()}
    if path.is_dir():
        return _read_directory(path, follow_links=follow_links)
    if path.exists():
        return _read_file(path, follow_links=follow_links)
    if str(source) in known:
        return read_named(known[str(source)], cache=cache, progress=progress)
    near = difflib.get_close_matches(str(source), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the names are {', '.join(known)}"
    raise DataError(
        "there is no such file, folder or data set", path=escape_name(str(source)), hint=hint
    )


def _read_directory(path: Path, *, follow_links: bool) -> FileSource | ArraySource:
    name = folder_name(path)
    try:
        if is_idx_folder(path):
            return read_idx_folder(path, name=name)
        if is_cifar_folder(path):
            return read_cifar_folder(path, name=name)
    except PermissionError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", path=path) from None
    return read_folder(path, follow_links=follow_links)


def _read_file(path: Path, *, follow_links: bool) -> FileSource | ArraySource:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        return read_table(path, follow_links=follow_links)
    if suffix == ".npz":
        return read_npz(path)
    raise DataError(_what_it_is(path), path=escape_name(str(path)), hint=_ACCEPTED)


def _what_it_is(path: Path) -> str:
    trees = compare_trees(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return f"it is one image; {trees}"
    if path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        return f"it is an archive and is not opened: unpack it first; {trees}"
    return f"it is no data set; {trees}"
