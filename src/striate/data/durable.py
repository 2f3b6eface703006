"""What makes a rename last: without it a power loss could undo one."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the system lets a folder be opened.

    Raises:
        OSError: If it is not there, or the disk fails.
    """
    if os.name != "posix":  # pragma: no cover - folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
