"""JSON from a file that nobody vouches for: bounded in size and depth, and unambiguous."""

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from striate.errors import ModelError, StriateError

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class _Refused(ValueError):
    """Raised by the hooks of the JSON parser, so that one place turns it into an error."""


def parse_document(
    text: bytes | str,
    *,
    path: object = None,
    error: type[StriateError] = ModelError,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> dict[str, Any]:
    """Parse a JSON object, with limits that hold before the parser runs.

    Args:
        text: The document, as UTF-8 bytes or as text.
        path: Where it came from, for the error.
        error: The class to raise.
        max_bytes: The longest text that is looked at.
        max_depth: The deepest nesting of lists and objects.

    Raises:
        StriateError: (as `error`) the text is too long, nested too deep, not JSON, not an object,
            repeats a key, or holds NaN or Infinity.

    >>> parse_document('{"a": [1, 2]}')
    {'a': [1, 2]}
    """
    if len(text) > max_bytes:
        raise error(f"JSON of {len(text):,} bytes; at most {max_bytes:,} are read", path=path)
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        if (depth := nesting(decoded)) > max_depth:
            raise _Refused(f"nested {depth} deep, at most {max_depth} is allowed")
        document = json.loads(
            decoded,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as cause:
        raise error(f"not valid JSON: {cause}", path=path) from None
    if not isinstance(document, dict):
        raise error(f"a JSON object was expected, found {type(document).__name__}", path=path)
    return document


def read_document(
    path: str | Path,
    *,
    error: type[StriateError] = ModelError,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> dict[str, Any]:
    """Read a JSON object from a file (`run.json`, say), with the limits of `parse_document`.

    Raises:
        StriateError: (as `error`) the file cannot be read, or its content is refused.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise error("no such file", path=path)
        with path.open("rb") as file:
            text = file.read(max_bytes + 1)
    except OSError as cause:
        raise error(f"cannot be read: {cause.strerror}", path=path) from cause
    return parse_document(text, path=path, error=error, max_bytes=max_bytes, max_depth=max_depth)


def nesting(text: str) -> int:
    """The deepest nesting of brackets outside the strings of a JSON text.

    >>> nesting('{"a[[[": [1, {}]}')
    3
    """
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub('""', text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {repeated[:80]!r} occurs twice")
    return document


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse_constant(digits[:40])


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no number that JSON can hold")
