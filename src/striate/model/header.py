"""The header of a safetensors file, read strictly: nothing after it is touched before it holds.

The format (https://huggingface.co/docs/safetensors): eight bytes, little-endian, the length of the
header; the header, a JSON object of name -> dtype, shape and offsets; then the bytes of all
tensors, one after the other. We ask more than the format does: limits on every count, no hole and
no overlap, and, of our own files, one document under the key `striate`.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from striate.errors import StriateError
from striate.model.document import parse_document

METADATA_KEY = "striate"
MAX_HEADER_BYTES = 4 * 2**20
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
MAX_NAME = 512

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as torch.save writes (.pt, .pth)",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}


@dataclass(frozen=True)
class TensorSpec:
    """Where one tensor lies in the file, and what it is.

    Attributes:
        name: Its key.
        dtype: Its name in the file, such as "F32".
        shape: Its sizes.
        begin: The offset of its first byte from the end of the header.
        end: The offset behind its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds.

    Attributes:
        specs: The tensors, in the order of their bytes.
        metadata: The free-form part, text by name; of our own files, the document under `striate`.
        start: The offset of the first tensor's first byte in the file.
    """

    specs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    start: int


class HeaderReader:
    """Reads and checks the header of one open file.

    Args:
        path: The file's name, for errors.
        error: The class of the errors.
        foreign: Whether the file may be one that Striate did not write.
    """

    def __init__(self, path: Path, error: type[StriateError], *, foreign: bool = False) -> None:
        self._path = path
        self._error = error
        self._foreign = foreign

    def read(self, file: BinaryIO) -> Header:
        """Read the header from the start of `file`.

        Raises:
            StriateError: (as the class given) on anything that is not exactly as it should be.
        """
        size = os.fstat(file.fileno()).st_size
        length = self._header_length(file.read(16), size)
        file.seek(8)
        document = parse_document(
            file.read(length), path=self._path, error=self._error, max_bytes=MAX_HEADER_BYTES
        )
        metadata = self._metadata(document.pop("__metadata__", None))
        if len(document) > MAX_TENSORS:
            raise self._refuse(f"{len(document):,} tensors; at most {MAX_TENSORS:,} are allowed")
        specs = [self._spec(name, entry) for name, entry in document.items()]
        specs.sort(key=lambda spec: (spec.begin, spec.end))
        self._check_layout(specs, size - 8 - length)
        return Header(specs=tuple(specs), metadata=metadata, start=8 + length)

    def _refuse(self, message: str) -> StriateError:
        return self._error(message, path=self._path)

    def _header_length(self, start: bytes, size: int) -> int:
        """The length of the header, if the first bytes are those of a safetensors file."""
        length = int.from_bytes(start[:8], "little")
        if start[8:9] == b"{" and length <= min(size - 8, MAX_HEADER_BYTES):
            return length
        for magic, what in _FOREIGN.items():
            if start.startswith(magic):
                ours = "give a model.safetensors that Striate wrote"
                raise self._error(
                    f"this is {what}; Striate never opens one, since loading it can run code",
                    path=self._path,
                    hint="give the same weights as .safetensors" if self._foreign else ours,
                )
        if len(start) == 16 and start[8:9] == b"{":
            raise self._refuse(
                f"damaged, or no model: a header of {length:,} bytes is announced in a file of "
                f"{size:,}, and at most {MAX_HEADER_BYTES:,} are allowed"
            )
        raise self._refuse("not a safetensors file")

    def _metadata(self, metadata: Any) -> dict[str, str]:
        """The free-form part of the header; in a file of ours, our document and nothing else."""
        if self._foreign:
            metadata = {} if metadata is None else metadata
            if not isinstance(metadata, dict) or not all(map(_is_text, metadata.values())):
                raise self._refuse("its metadata is not text by name")
            return metadata
        if not isinstance(metadata, dict) or not isinstance(metadata.get(METADATA_KEY), str):
            raise self._refuse("a safetensors file, but not one that Striate wrote")
        if set(metadata) != {METADATA_KEY}:
            raise self._refuse(f"unknown metadata beside {METADATA_KEY!r}")
        return metadata

    def _spec(self, name: str, entry: Any) -> TensorSpec:
        """One tensor's entry, checked by itself."""
        if not 0 < len(name) <= MAX_NAME:
            raise self._refuse(f"a tensor's name of {len(name):,} characters")
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise self._refuse(f"the entry of tensor {name!r} is malformed")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise self._refuse(f"tensor {name!r} has the dtype {str(dtype)[:20]!r}, not allowed")
        if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
            raise self._refuse(f"tensor {name!r} has a malformed shape")
        if not _are_sizes(offsets) or len(offsets) != 2:
            raise self._refuse(f"tensor {name!r} has malformed offsets")
        if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[dtype].itemsize:
            raise self._refuse(f"tensor {name!r} has offsets that do not fit its shape")
        return TensorSpec(name, dtype, tuple(shape), offsets[0], offsets[1])

    def _check_layout(self, specs: list[TensorSpec], size: int) -> None:
        """The tensors lie side by side and fill the file: no overlap, no hole, no tail."""
        position = 0
        for spec in specs:
            if spec.begin != position:
                what = "overlaps the one before it" if spec.begin < position else "follows a hole"
                raise self._refuse(f"tensor {spec.name!r} {what}")
            position = spec.end
        if position != size:
            raise self._refuse(f"{position:,} bytes of weights are announced, {size:,} are there")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_sizes(values: Any) -> bool:
    """Whether this is a list of whole numbers that can be sizes or offsets."""
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**48 for value in values
    )
