"""A lock between processes, held on a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except (
    ImportError
):  # pragma: no cover - Windows: two writers both work, and the last to rename wins
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, made if missing; the system drops it when the process ends.

    Args:
        path: The lock file; it stays, as removing one that another waits for would give two locks.
        wait: Whether to wait for another holder.

    Yields:
        Whether the lock is held.
    """
    with path.open("a+b") as file:
        if fcntl is None:  # pragma: no cover
            yield True
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
