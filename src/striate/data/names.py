"""File names as text that is safe to print, to write and to read back.

A file name is bytes: it may hold a newline, an escape sequence or bytes that are no UTF-8. Every
name that leaves this room is escaped, so that one name is one line and always encodes as UTF-8.
"""

from __future__ import annotations

import re
import unicodedata

_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG = {escape: character for character, escape in _SHORT.items()}
_ESCAPED = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
# Control, format (also the marks that turn the direction of writing), surrogate, line, paragraph.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINER = "\u200d"  # a format character that emoji are made of; it does no harm
_HIDDEN = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "__pycache__"})


def escape_name(name: str) -> str:
    r"""Escape what cannot be printed on one line; other text, emoji and markup too, stays.

    Bytes that are no UTF-8 (surrogates of `os.fsdecode`) become `\xNN`; a backslash is doubled.

    >>> print(escape_name("a\nb/\udcff.jpg"))
    a\nb/\xff.jpg
    """
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_escape_character, name))


def unescape_name(escaped: str) -> str:
    """Undo `escape_name`: the name as `os` functions take it."""
    return _ESCAPED.sub(lambda match: _unescape_match(match.group()), escaped)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no data: a dot file, or what systems leave behind."""
    return name.startswith(".") or name.lower() in _HIDDEN or name == "Icon\r"


def _escape_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character == _JOINER or unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescape_match(escape: str) -> str:
    if escape in _LONG:
        return _LONG[escape]
    code = int(escape[2:], 16)
    return chr(0xDC00 + code if escape[1] == "x" else code)
