"""Places in a net text, and errors that point at them."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import NetError


@dataclass(frozen=True)
class Place:
    """Where something stands in a net text; `offset` and `length` count characters."""

    offset: int
    length: int = 1


class LocatedNetError(NetError):
    """A `NetError` that knows where in the text it is.

    Args:
        message: What is wrong.
        source: The whole net text.
        place: The characters at fault.
        hint: What to do about it.

    Attributes:
        line: Line, from 1.
        column: Column, from 1.
    """

    def __init__(self, message: str, *, source: str, place: Place, hint: str | None = None) -> None:
        self.line, self.column = _line_and_column(source, place)
        short = None if hint is None else clip(hint)
        super().__init__(located(message, source, place), hint=short)


def located(message: str, source: str, place: Place) -> str:
    """The message with line and column, and under it the line of the text with a caret."""
    line, column = _line_and_column(source, place)
    row = source.split("\n")[line - 1]
    picture = _picture(row, column - 1, place.length)
    return f"line {line}, column {column}: {clip(message)}\n{picture}"


def _line_and_column(source: str, place: Place) -> tuple[int, int]:
    line = source.count("\n", 0, place.offset) + 1
    return line, place.offset - source.rfind("\n", 0, place.offset)


def clip(text: str, longest: int = 300) -> str:
    """Short, and without control characters: parts of it come from the net text."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= longest else text[:longest] + "..."


def _picture(row: str, column: int, length: int, width: int = 90) -> str:
    """The row with a caret under the place, cut to `width` characters around it."""
    row = "".join(letter if letter.isprintable() else " " for letter in row)
    start = max(0, min(column - width // 2, len(row) - width))
    shown = row[start : start + width]
    carets = "^" * max(1, min(length, len(shown) - (column - start)))
    return f"    {shown}\n    {' ' * (column - start)}{carets}"
