"""A safetensors file that others may have written: its header checked, its tensors read one by one.

Nothing in such a file is trusted: the header passes the checks of `HeaderReader`, the values have
to be finite, and there is no other format. A pickle (.pt, .pth, .bin) is told by its first bytes
and never opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import ModelError, ResourceError
from striate.model.header import DTYPES, HeaderReader, TensorSpec
from striate.model.tensorfile import bytes_of, is_finite, open_regular

_CHUNK = 1 << 22  # bytes


class WeightsFile:
    """An open safetensors file; leave the `with` block to close it.

    Args:
        path: The file.

    Attributes:
        path: The file.
        specs: The tensors by name: dtype, shape and place.
        metadata: The free-form text in its header.

    Raises:
        ModelError: It cannot be opened, is in another format, or its header is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path, ModelError)
        try:
            header = HeaderReader(path, ModelError, foreign=True).read(self._file)
        except OSError as cause:
            self._file.close()
            raise ModelError(f"cannot be read: {cause.strerror}", path=path) from cause
        except BaseException:
            self._file.close()
            raise
        self._start = header.start
        self.specs: dict[str, TensorSpec] = {spec.name: spec for spec in header.specs}
        self.metadata = header.metadata

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU; floating values of any width become fp32.

        Raises:
            ModelError: It cannot be read, or holds NaN or infinity.
            ResourceError: There is too little memory.
        """
        spec = self.specs[name]
        size = spec.end - spec.begin
        try:
            tensor = torch.empty(spec.shape, dtype=DTYPES[spec.dtype])
        except RuntimeError as cause:
            raise ResourceError(f"{size / 1e6:,.0f} MB of memory needed", path=self.path) from cause
        try:
            self._file.seek(self._start + spec.begin)
            count = self._file.readinto(bytes_of(tensor))  # type: ignore[attr-defined]
        except OSError as cause:
            raise ModelError(f"cannot be read: {cause.strerror}", path=self.path) from cause
        if count != size:
            raise ModelError("became shorter while it was read", path=self.path)
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        if not is_finite(tensor):
            raise ModelError(f"tensor {name!r} holds NaN or infinity", path=self.path)
        return tensor

    def sha256(self) -> str:
        """SHA-256 of the whole file, 64 hexadecimal digits, as `sha256sum` prints it.

        Raises:
            ModelError: It cannot be read.
        """
        digest = hashlib.sha256()
        try:
            self._file.seek(0)
            while block := self._file.read(_CHUNK):
                digest.update(block)
        except OSError as cause:
            raise ModelError(f"cannot be read: {cause.strerror}", path=self.path) from cause
        return digest.hexdigest()
