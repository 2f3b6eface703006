"""Text for a terminal: nothing here loads more than the standard library."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    r"""Write what is not printable as escapes, so that no file name can move the cursor.

    Examples:
        >>> printable("a\x1b[2Jb")
        'a\\x1b[2Jb'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document, allow_nan=False))


def format_seconds(seconds: float) -> str:
    """A length of time, short.

    Examples:
        >>> [format_seconds(s) for s in (0.4, 42, 605, 7322)]
        ['0.4 s', '42 s', '10 min 05 s', '2 h 02 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
