"""Files from their public homes: resumed where they were cut off, checked, moved into place."""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from striate.errors import DataError, ResourceError

Progress = Callable[[int, int], None]
_BLOCK = 1 << 18  # bytes
_TIMEOUT = 30  # seconds without a byte
_LARGEST_MEMBER = 1 << 28  # bytes, of one file of an archive
_HINT = "download it by hand and put it into $STRIATE_DATA"


@dataclass(frozen=True)
class RemoteFile:
    """A file with a public home and a known content."""

    url: str
    name: str
    sha256: str


def fetch(remote: RemoteFile, folder: Path, *, progress: Progress | None = None) -> Path:
    """Download a file into a folder, unless it lies there.

    What came before a lost connection is kept in `NAME.part` and continued by the next call.

    Args:
        remote: What to download.
        folder: Where to; made if missing.
        progress: Called with the bytes that are there and the bytes in all (0: unknown).

    Raises:
        DataError: If the home cannot be reached, or the content is another than the one known.
        ResourceError: If it cannot be written.
    """
    target = folder / remote.name
    if target.is_file() and _sha256(target) == remote.sha256:
        return target
    part = target.with_name(f"{remote.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(remote, part, progress)
        found = _sha256(part)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot be downloaded: {reason}", path=remote.url, hint=_HINT) from None
    except OSError as error:
        raise ResourceError(f"cannot be written: {error.strerror}", path=part) from None
    if found != remote.sha256:
        part.unlink()
        message = f"its SHA-256 is {found[:16]}..., not {remote.sha256[:16]}..."
        raise DataError(message, path=remote.url, hint=_HINT)
    part.replace(target)
    return target


def unpack_members(archive: Path, folder: Path, sha256: str, *, suffixes: tuple[str, ...]) -> None:
    """Take the files of certain suffixes out of a .tar.gz, by their last name alone, into a folder.

    Links, folders and every path in the archive are left aside: nothing can land outside `folder`.

    Raises:
        DataError: If the archive is damaged or not the one known.
        ResourceError: If the files cannot be written.
    """
    if _sha256(archive) != sha256:
        raise DataError("its SHA-256 is not the one known", path=archive, hint="get the file again")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or not name.endswith(suffixes):
                    continue
                if member.size > _LARGEST_MEMBER:
                    raise DataError(f"its member {name} is too large", path=archive)
                _write_whole(content, folder / name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"it cannot be unpacked: {error}", path=archive) from None
    except OSError as error:
        raise ResourceError(f"cannot be written: {error.strerror}", path=folder) from None


def _download(remote: RemoteFile, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(remote.url, headers={"User-Agent": "striate"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if not have or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return  # all of it came before
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        length = int(response.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if have < total:
        raise ConnectionError(f"the connection was lost after {have} of {total} bytes")


def _write_whole(content: IO[bytes], target: Path) -> None:
    """Copy a stream to a file that appears only when it is complete."""
    part = target.with_name(f"{target.name}.part")
    with part.open("wb") as file:
        while block := content.read(_BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
