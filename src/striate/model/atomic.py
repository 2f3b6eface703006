"""Files that are either the old one or the new one, whatever happens in between."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from striate.data.durable import sync_folder
from striate.errors import ResourceError

TEMPORARY_SUFFIX = ".partial"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def atomic_file(path: str | Path, *, size: int = 0) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is whole and on disk.

    The bytes go to a temporary file in the same folder; then follow fsync of the file, rename, and
    fsync of the folder, without which a power loss could undo the rename. If anything fails, the
    old file stays as it was and the temporary one is removed.

    Args:
        path: The file to write.
        size: The bytes about to be written, to be named if the disk is full.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as cause:
        raise resource_error(cause, path, size) from cause
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a small file whole, through `atomic_file`. Text is written as UTF-8.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written.
    """
    encoded = content.encode() if isinstance(content, str) else content
    with atomic_file(path, size=len(encoded)) as file:
        file.write(encoded)


def sweep_temporaries(folder: str | Path) -> list[Path]:
    """Remove what a killed writer left in `folder`; returns the removed paths.

    Call it only while no other process writes there (a run holds its lock).
    """
    orphans = sorted(Path(folder).glob(f".*{TEMPORARY_SUFFIX}"))
    for orphan in orphans:
        orphan.unlink(missing_ok=True)
    return orphans


def resource_error(cause: OSError, path: Path, size: int) -> ResourceError:
    """The error to raise for a write that failed; `size` is the bytes that were to be written."""
    if cause.errno in _FULL:
        return ResourceError(
            f"disk full, {max(1, -(-size // 10**6))} MB needed",
            path=path,
            hint="free space, or write elsewhere; the earlier file is intact",
        )
    return ResourceError(f"cannot be written: {cause.strerror}", path=path)
