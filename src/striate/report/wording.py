"""Numbers and names as a reader meets them: units, separators, hostile characters made visible."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from markupsafe import Markup, escape

SPACE = "\u00a0"  # between a number and its unit, so that a line never breaks there
LONGEST_NAME = 120  # characters of a file or class name that are shown
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
# Zero-width joiners build emoji; other invisible characters make a name look like another.
HARMLESS_INVISIBLE = frozenset("\u200d")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""Show control characters, undecodable bytes and text-direction tricks as escapes.

    A surrogate that stands for an undecodable byte (PEP 383) becomes that byte, as `\xff`.

    >>> printable("a\nb\udcff")
    'a\\x0ab\\xff'
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in HARMLESS_INVISIBLE:
        return character
    if unicodedata.category(character) not in INVISIBLE_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shortened(name: str, limit: int = LONGEST_NAME) -> str:
    """A name of at most `limit` characters, cut in its middle: both ends tell files apart.

    >>> shortened("photos/roses/0001.jpg", 15)
    'photos/…001.jpg'
    """
    name = printable(name)
    if len(name) <= limit:
        return name
    head = limit // 2
    return f"{name[:head]}…{name[len(name) - (limit - head - 1) :]}"


def percent(share: float | None) -> str:
    r"""A share as a percentage with one decimal; only a true 0 or 1 is written without one.

    >>> percent(0.9861), percent(1.0), percent(0.99996)
    ('98.6\xa0%', '100\xa0%', '99.996\xa0%')
    """
    if share is None or not math.isfinite(share):
        return DASH
    if share in (0.0, 1.0):
        return f"{share * 100:.0f}{SPACE}%"
    for digits in range(1, 5):
        text = f"{share * 100:.{digits}f}"
        if 0 < float(text) < 100:
            return f"{text}{SPACE}%"
    return f"under 0.0001{SPACE}%" if share < 0.5 else f"over 99.9999{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"


def count(value: int) -> str:
    """A whole number with separators.

    >>> count(1293)
    '1,293'
    """
    return f"{value:,}"


def compact(value: float) -> str:
    r"""A large number in three figures with its magnitude.

    >>> compact(2_124_000), compact(999), compact(4.4e10)
    ('2.12\xa0million', '999', '44.0\xa0billion')
    """
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            scaled = value / size
            digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:.{digits}f}{SPACE}{name}"
    return f"{value:,.0f}"


def plural(value: int, noun: str, several: str | None = None) -> str:
    r"""A count with its noun.

    >>> plural(1, "image"), plural(2000, "image"), plural(2, "class", "classes")
    ('1\xa0image', '2,000\xa0images', '2\xa0classes')
    """
    word = noun if value == 1 else several or f"{noun}s"
    return f"{count(value)}{SPACE}{word}"


def duration(seconds: float) -> str:
    r"""A time span in its two largest units.

    >>> duration(7.31), duration(125), duration(3780)
    ('7.3\xa0s', '2\xa0min 5\xa0s', '1\xa0h 3\xa0min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s" if rest else f"{minutes}{SPACE}min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{SPACE}h {minutes}{SPACE}min" if minutes else f"{hours}{SPACE}h"


def by(sides: Iterable[int]) -> str:
    r"""Sizes of a volume, as height, width and channels.

    >>> by([32, 32, 3])
    '32\xd732\xd73'
    """
    return TIMES.join(str(side) for side in sides)


def listed(items: Sequence[str]) -> str:
    """Items as in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def quoted(name: str) -> str:
    """A class name in quotation marks, cut to what a sentence can carry."""
    return f"“{shortened(name, 48)}”"


def moment(stamp: str) -> str:
    """An ISO time stamp in words; as it is where it is none.

    >>> moment("2025-11-20T21:04:09Z")
    '20 November 2025, 21:04 UTC'
    """
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return printable(stamp)
    zone = " UTC" if time.utcoffset() == timedelta(0) else ""
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M}{zone}"


def with_code(text: str) -> Markup:
    """A sentence of ours as HTML, what stands between backticks as code.

    >>> with_code("try `--size 64` <")
    Markup('try <code>--size 64</code> &lt;')
    """
    parts = printable(text).split("`")
    pairs = Markup("{}<code>{}</code>")
    pieces = [pairs.format(*pair) for pair in zip(parts[0:-1:2], parts[1::2], strict=False)]
    return Markup("").join([*pieces, escape(parts[-1])]) if len(parts) % 2 else escape(text)
