"""A folder drawn as a tree on one line, for errors about its layout."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.names import escape_name, is_hidden
from striate.data.sources.walk import is_folder

_EXPECTED = "photos/{cats/{01.jpg, ...}, dogs/{02.jpg, ...}}"
_EACH = 3  # entries shown of a folder


def compare_trees(root: Path) -> str:
    """Show the tree that is found at a path and the one expected, a few entries of each level."""
    name = escape_name(root.name)
    found = f"{name}/{_draw(root, depth=3)}" if root.is_dir() else name
    return f"found {found}, expected {_EXPECTED}"


def _draw(folder: str | Path, *, depth: int) -> str:
    """The first entries of a folder in braces, folders first."""
    try:
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not is_hidden(entry.name)]
    except OSError:
        return "{?}"
    entries.sort(key=lambda entry: (not is_folder(entry), os.fsencode(entry.name)))
    shown = [_draw_entry(entry, depth) for entry in entries[:_EACH]]
    if len(entries) > _EACH:
        shown.append(f"... {len(entries) - _EACH} more")
    return f"{{{', '.join(shown)}}}"


def _draw_entry(entry: os.DirEntry[str], depth: int) -> str:
    name = escape_name(entry.name)
    if not is_folder(entry):
        return name
    if depth == 1 or entry.is_symlink():
        return f"{name}/"
    return f"{name}/{_draw(entry.path, depth=depth - 1)}"
