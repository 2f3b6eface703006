"""Where Striate keeps what it can make or get again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(given: Path | None = None) -> Path:
    """Find the cache folder: as given, else `$STRIATE_CACHE`, else in the user's cache folder."""
    if given is not None:
        return Path(given)
    if os.environ.get("STRIATE_CACHE"):
        return Path(os.environ["STRIATE_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "striate"
