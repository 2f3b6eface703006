"""The run folder: one writer at a time, every file complete or absent."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from striate.errors import (
    BusyError,
    DivergedError,
    InterruptedRunError,
    ModelError,
    ResourceError,
    StriateError,
    TerminatedRunError,
    UsageError,
)
from striate.model.atomic import resource_error, sweep_temporaries, write_atomically
from striate.model.document import read_document
from striate.training.events import Measurement

LARGEST_DOCUMENT = 50_000_000  # bytes of run.json and metrics.jsonl that are read


class RunFolder:
    """A run folder held by this process; use `create` or `open`, and `close` at the end."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make and lock a new run folder.

        One in which a run failed or was killed before its `run.json` was in place will do: that
        file is what `resume` asks for, and no checkpoint comes before it. Its log goes on.

        Raises:
            UsageError: If the folder holds something already, or is a file.
            BusyError: If another process is writing it.
            ResourceError: If the disk is full.
        """
        with _disk_guard(path):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                hint = "take another --out"
                raise UsageError("is a file, or lies in one", path=path, hint=hint) from error
            if not (path / "lock").exists() and any(path.iterdir()):
                raise _not_empty(path)  # before a lock is left in a folder that is not ours
            folder = cls(path, _locked(path))
        if _has_begun(path):
            folder.close()
            raise _not_empty(path)
        for orphan in _unfinished(path):
            orphan.unlink()
        (path / "checkpoints").mkdir(exist_ok=True)
        return folder

    @classmethod
    def create_next(cls, parent: Path, stem: str) -> RunFolder:
        """Make and lock `parent/stem-N` with the lowest N that is free, also as others do the same.

        Raises:
            UsageError: If `parent` is a file.
            ResourceError: If the disk is full.
        """
        number = 1
        while True:
            path = parent / f"{stem}-{number}"
            with _disk_guard(path):
                try:
                    path.mkdir(parents=True)
                    break
                except FileExistsError:
                    if not parent.is_dir():
                        break
                except NotADirectoryError:
                    break  # which `create` says
            number += 1
        return cls.create(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Lock a run folder that is there, and sweep what a killed writer left.

        Raises:
            UsageError: If it is no run folder.
            BusyError: If another process is writing it.
        """
        if not (path / "run.json").is_file():
            raise UsageError("is no run folder: it has no run.json", path=path)
        folder = cls(path, _locked(path))
        sweep_temporaries(path)
        sweep_temporaries(folder.checkpoints)
        return folder

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def write_json(self, name: str, document: object) -> None:
        """Write a JSON document; the old one stands until the new one is safe on disk."""
        text = json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False)
        write_atomically(self.path / name, text + "\n")

    def mark(self, status: str) -> None:
        """Write the status into `run.json`; a run with a result keeps its own."""
        document = read_run(self.path)
        if document.get("result") is None and document.get("status") != status:
            self.write_json("run.json", {**document, "status": status})

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Within it, the status is "running"; how it is left early is written down."""
        self.mark("running")
        try:
            yield
        except (InterruptedRunError, TerminatedRunError, DivergedError) as error:
            with suppress(StriateError):  # what ended the run is worth more than its status
                self.mark(error.kind)
            raise

    def log(self, text: str) -> None:
        """Add a line with the time to `log.txt`."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with _disk_guard(self.path / "log.txt"), (self.path / "log.txt").open("a") as file:
            file.write(f"{stamp} {ascii(text)[1:-1]}\n")

    def append_measurement(self, measurement: Measurement) -> None:
        """Add a line to `metrics.jsonl`, and make it durable."""
        path = self.path / "metrics.jsonl"
        with _disk_guard(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(measurement)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def keep_measurements(self, restart: int, epoch: int) -> None:
        """Drop what comes after `epoch` epochs of `restart`: it is measured again."""
        kept = [
            line
            for line in read_measurements(self.path)
            if (line["restart"], line["epoch"]) <= (restart, epoch)
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(self.path / "metrics.jsonl", text)

    def require_space(self, needed: int) -> None:
        """Refuse to start where `needed` bytes do not fit.

        Raises:
            ResourceError: Naming what is needed and what is free.
        """
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise ResourceError(
                f"the disk has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB needed "
                "for three checkpoints",
                path=self.path,
                hint="free some space or take another --out",
            )


def _has_begun(path: Path) -> bool:
    """Whether a locked folder holds more than a run has before its `run.json` is in place."""
    before = {"lock", "log.txt", "split.csv", "checkpoints", *(p.name for p in _unfinished(path))}
    names = {entry.name for entry in path.iterdir()}
    return bool(names - before) or any((path / "checkpoints").glob("*"))


def _unfinished(path: Path) -> list[Path]:
    """The temporary files of what is written before the first checkpoint."""
    return [*path.glob(".run.json.*"), *path.glob(".split.csv.*")]


def _not_empty(path: Path) -> UsageError:
    hint = f"take another --out, or: striate resume {shlex.quote(str(path))}"
    return UsageError("is not empty", path=path, hint=hint)


@contextmanager
def _disk_guard(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise resource_error(error, path, 0) from error


def read_run(path: Path) -> dict[str, Any]:
    """The document of a run's `run.json`.

    Raises:
        ModelError: If it is missing, too large, or no JSON object.
    """
    if not (path / "run.json").is_file():
        raise ModelError("is no run folder: it has no run.json", path=path)
    return read_document(path / "run.json", max_bytes=LARGEST_DOCUMENT)


def read_measurements(path: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; a last line that a kill cut short is left out.

    Raises:
        ModelError: If the file is too large, or a line is no measurement.
    """
    file = path / "metrics.jsonl"
    if not file.is_file():
        return []
    if file.stat().st_size > LARGEST_DOCUMENT:
        raise ModelError("is larger than measurements can be", path=file)
    *whole, last = file.read_bytes().split(b"\n")
    lines = [_read_measurement(text, number, file) for number, text in enumerate(whole, 1)]
    with suppress(ModelError):  # without a line feed it may have been cut short
        lines.append(_read_measurement(last, len(whole) + 1, file))
    return lines


def _read_measurement(text: bytes, number: int, file: Path) -> dict[str, Any]:
    hint = "take the line out"
    try:
        line = json.loads(text)  # a loss may be NaN, which the reader of documents refuses
    except (ValueError, RecursionError) as error:
        raise ModelError(f"line {number} is not JSON", path=file, hint=hint) from error
    if not isinstance(line, dict) or not all(
        isinstance(line.get(name), int) for name in ("restart", "epoch")
    ):
        message = f"line {number} is no measurement with restart and epoch"
        raise ModelError(message, path=file, hint=hint)
    return line


def _locked(path: Path) -> IO[str]:
    lock = (path / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise BusyError(
            f"is being written by process {owner}", path=path, hint="take another --out, or wait"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
