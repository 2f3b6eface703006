"""A folder drawn as a tree, for errors about its layout."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.names import escape_name, is_hidden
from striate.data.sources.walk import is_folder

_LINES = 12
_EACH = 3

_EXPECTED = """\
  photos/
    cats/  01.jpg 02.jpg ...
    dogs/  03.jpg 04.jpg ..."""


def compare_trees(root: Path) -> str:
    """Show the tree that is found at a path and the one expected, a few entries of each level."""
    return f"found:\n{_draw(root, depth=3)}\nexpected:\n{_EXPECTED}\n"


def _draw(root: Path, *, depth: int) -> str:
    lines = [f"  {escape_name(root.name)}{'/' if root.is_dir() else ''}"]
    _draw_below(os.fspath(root), lines, "    ", depth)
    return "\n".join([*lines[:_LINES], "    ..."] if len(lines) > _LINES else lines)


def _draw_below(folder: str, lines: list[str], indent: str, depth: int) -> None:
    if depth == 0 or len(lines) > _LINES or not Path(folder).is_dir():
        return
    with os.scandir(folder) as scan:
        shown = [entry for entry in scan if not is_hidden(entry.name)]
    shown.sort(key=lambda entry: (not is_folder(entry), os.fsencode(entry.name)))
    for entry in shown[:_EACH]:
        lines.append(f"{indent}{escape_name(entry.name)}{'/' if is_folder(entry) else ''}")
        if entry.is_dir(follow_symlinks=False):
            _draw_below(entry.path, lines, indent + "  ", depth - 1)
    if len(shown) > _EACH:
        lines.append(f"{indent}... {len(shown) - _EACH} more")
