"""A folder drawn as a tree, for errors about its layout."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.names import escape_name, is_hidden

_LINES = 12
_EACH = 3

EXPECTED_TREE = """\
  photos/
    cats/  01.jpg 02.jpg ...
    dogs/  03.jpg 04.jpg ..."""


def draw_tree(root: Path, *, depth: int = 3) -> str:
    """Draw the first entries of a folder, folders first, a few of each level.

    Args:
        root: The folder; another kind of file is drawn as one line.
        depth: How many levels below it.
    """
    lines = [f"  {escape_name(root.name)}{'/' if root.is_dir() else ''}"]
    _draw_below(os.fspath(root), lines, "    ", depth)
    return "\n".join([*lines[:_LINES], "    ..."] if len(lines) > _LINES else lines)


def _draw_below(folder: str, lines: list[str], indent: str, depth: int) -> None:
    if depth == 0 or len(lines) > _LINES or not os.path.isdir(folder):
        return
    with os.scandir(folder) as scan:
        shown = [entry for entry in scan if not is_hidden(entry.name)]
    shown.sort(key=lambda entry: (not entry.is_dir(), os.fsencode(entry.name)))
    for entry in shown[:_EACH]:
        lines.append(f"{indent}{escape_name(entry.name)}{'/' if entry.is_dir() else ''}")
        if entry.is_dir(follow_symlinks=False):
            _draw_below(entry.path, lines, indent + "  ", depth - 1)
    if len(shown) > _EACH:
        lines.append(f"{indent}... {len(shown) - _EACH} more")
