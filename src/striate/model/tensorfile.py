"""Tensors and one JSON document in one safetensors file: checksummed, atomic, no pickle.

Models and checkpoints are both such files. Reading them is ours rather than the safetensors
library's, because the checks on the header have to be stricter, each tensor is hashed as it is
read, and a file that changes or shrinks meanwhile must not be mapped into memory.
"""

import hashlib
import json
import math
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from striate.errors import ModelError, ResourceError, StriateError
from striate.model.atomic import atomic_file
from striate.model.document import parse_document
from striate.model.header import (
    DTYPE_NAMES,
    DTYPES,
    MAX_HEADER_BYTES,
    METADATA_KEY,
    Header,
    HeaderReader,
    TensorSpec,
)

_CHUNK = 2**20  # elements looked at together, so that a check needs little memory


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, Any]) -> str:
    """Write tensors and a document, atomically (see `atomic_file`).

    Args:
        path: The file to write; an earlier one stays whole until this one is on disk.
        tensors: Any shape, any device, any dtype of `DTYPES`; values are stored exactly.
        metadata: What JSON can hold, without NaN. The key "sha256" is ours.

    Returns:
        The SHA-256 of the tensors, as `hash_tensors` gives it.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written.
        TypeError: a dtype that the file cannot hold.
        ValueError: a document that JSON cannot hold, or that is longer than a reader accepts.
    """
    # Wide dtypes first, so that each tensor is aligned, as the format recommends.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    digest = hash_tensors(tensors)
    header = _header(ordered, _sealed(metadata, digest))
    size = sum(tensor.nbytes for tensor in tensors.values()) + len(header)
    with atomic_file(path, size=size) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for _, tensor in ordered:
            file.write(bytes_of(tensor))
    return digest


def load_tensors(
    path: str | Path, *, error: type[StriateError] = ModelError, finite: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back what `save_tensors` wrote, after checking all of it.

    Memory stays at the size of the file plus a few megabytes.

    Args:
        path: The file.
        error: The class to raise where the file is not what it should be.
        finite: Whether NaN and infinity are errors too.

    Returns:
        The tensors by name, on the CPU, and the document without its checksums.

    Raises:
        StriateError: (as `error`) the file is missing, damaged, foreign or hostile.
    """
    with TensorFile(path, error=error) as file:
        return file.tensors(finite=finite), file.metadata


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names, as 64 hex digits.

    >>> hash_tensors({})[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(_label(name, _dtype_name(name, tensor), tuple(tensor.shape)))
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


class TensorFile:
    """An open tensor file whose header and document have been checked, and whose tensors not yet.

    Args:
        path: The file.
        error: The class to raise where the file is not what it should be.

    Attributes:
        path: The file.
        metadata: The document, without its checksums.
        specs: The tensors' names, dtypes and shapes, before any of them takes memory.
        sha256: The checksum that the tensors must have.

    Raises:
        StriateError: (as `error`) the file cannot be opened, or its header or document is wrong.
    """

    def __init__(self, path: str | Path, *, error: type[StriateError] = ModelError) -> None:
        self.path = Path(path)
        self._error = error
        self._file = open_regular(self.path, error)
        try:
            self._header: Header = HeaderReader(self.path, error).read(self._file)
            self.metadata, self.sha256 = self._unseal(self._header.metadata[METADATA_KEY])
        except OSError as cause:
            self._file.close()
            raise error(f"cannot be read: {cause.strerror}", path=path) from cause
        except BaseException:
            self._file.close()
            raise

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The tensors' names, dtypes and shapes, before any of them takes memory."""
        return self._header.specs

    def __enter__(self) -> "TensorFile":
        """The file itself; leaving the `with` block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def tensors(self, *, finite: bool = True) -> dict[str, Tensor]:
        """Read all tensors, and compare their checksum.

        Raises:
            StriateError: (as given) the checksum differs, or a value is not finite.
            ResourceError: there is too little memory.
        """
        try:
            tensors = {
                spec.name: torch.empty(spec.shape, dtype=DTYPES[spec.dtype]) for spec in self.specs
            }
        except RuntimeError as cause:
            size = sum(spec.end - spec.begin for spec in self.specs)
            raise ResourceError(f"{size / 1e6:,.0f} MB of memory needed", path=self.path) from cause
        self.read_into(tensors, finite=finite)
        return tensors

    def read_into(self, tensors: Mapping[str, Tensor], *, finite: bool = True) -> None:
        """Read all tensors into memory that is there already, and compare their checksum.

        Args:
            tensors: Contiguous and on the CPU, with the names, shapes and dtypes of `specs`. On an
                error they hold anything.
            finite: Whether NaN and infinity are errors too.

        Raises:
            StriateError: (as given) the checksum differs, or a value is not finite.
        """
        digest = hashlib.sha256()
        for spec in sorted(self.specs, key=lambda spec: spec.name):
            content = bytes_of(tensors[spec.name])
            self._read(spec, content)
            digest.update(_label(spec.name, spec.dtype, spec.shape))
            digest.update(content)
        if digest.hexdigest() != self.sha256:
            raise self._error("damaged: the SHA-256 of its tensors differs", path=self.path)
        for spec in self.specs:
            self._check_values(spec, tensors[spec.name], finite=finite)

    def _unseal(self, text: str) -> tuple[dict[str, Any], str]:
        """The document and the checksum of the tensors, after the document's own checksum."""
        metadata = parse_document(text, path=self.path, error=self._error)
        checksums = metadata.pop("sha256", None)
        if not isinstance(checksums, dict) or set(checksums) != {"document", "tensors"}:
            raise self._error("its document has no SHA-256", path=self.path)
        tensors = checksums["tensors"]
        if not isinstance(tensors, str) or checksums["document"] != _document_hash(
            metadata, tensors
        ):
            raise self._error("damaged: the SHA-256 of its document differs", path=self.path)
        return metadata, tensors

    def _read(self, spec: TensorSpec, content: memoryview) -> None:
        try:
            self._file.seek(self._header.start + spec.begin)
            count = self._file.readinto(content)  # type: ignore[attr-defined]
        except OSError as cause:
            raise self._error(f"cannot be read: {cause.strerror}", path=self.path) from cause
        if count != spec.end - spec.begin:
            raise self._error("became shorter while it was read", path=self.path)

    def _check_values(self, spec: TensorSpec, tensor: Tensor, *, finite: bool) -> None:
        if tensor.dtype is torch.bool and tensor.numel() and tensor.view(torch.uint8).max() > 1:
            raise self._error(f"tensor {spec.name!r} has a value beyond true", path=self.path)
        if finite and not is_finite(tensor):
            raise self._error(f"tensor {spec.name!r} holds NaN or infinity", path=self.path)


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity, found with little extra memory.

    >>> is_finite(torch.tensor([1.0, float("nan")]))
    False
    """
    if not tensor.is_floating_point():
        return True
    flat = tensor.detach().reshape(-1)
    starts = range(0, flat.numel(), _CHUNK)
    return all(bool(torch.isfinite(flat[start : start + _CHUNK]).all()) for start in starts)


def open_regular(path: Path, error: type[StriateError]) -> BinaryIO:
    """Open a file, but no folder, pipe or device, whose reading might never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error("not a file", path=path)
        return path.open("rb")
    except OSError as cause:
        raise error(f"cannot be read: {cause.strerror}", path=path) from cause
    except ValueError as cause:  # a name with a null character
        raise error(f"cannot be read: {cause}", path=path) from cause


def _header(ordered: Iterable[tuple[str, Tensor]], document: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {METADATA_KEY: document}}
    position = 0
    for name, tensor in ordered:
        entries[name] = {
            "dtype": _dtype_name(name, tensor),
            "shape": list(tensor.shape),
            "data_offsets": [position, position + tensor.nbytes],
        }
        position += tensor.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    if len(header) > MAX_HEADER_BYTES - 8:
        raise ValueError(
            f"a header of {len(header):,} bytes; at most {MAX_HEADER_BYTES:,} are read"
        )
    return header.ljust(math.ceil(len(header) / 8) * 8)


def _sealed(metadata: dict[str, Any], tensors: str) -> str:
    """The document as text, with the checksum of the tensors and of itself."""
    document = json.loads(
        _canonical(metadata)
    )  # tuples and whole-number keys as a reader sees them
    checksums = {"document": _document_hash(document, tensors), "tensors": tensors}
    return _canonical({**document, "sha256": checksums})


def _document_hash(metadata: dict[str, Any], tensors: str) -> str:
    return hashlib.sha256(_canonical([metadata, tensors]).encode()).hexdigest()


def _canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _label(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    return _canonical([name, dtype, shape]).encode() + b"\n"


def _dtype_name(name: str, tensor: Tensor) -> str:
    if tensor.dtype not in DTYPE_NAMES:
        raise TypeError(f"tensor {name!r} has the dtype {tensor.dtype}; one of {list(DTYPES)} fits")
    return DTYPE_NAMES[tensor.dtype]


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor in the order of its axes, whatever its strides and device."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(bytearray())
