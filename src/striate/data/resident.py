"""Training images that lie on the GPU: in a step no pixel has to travel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.memory import Reader, release_pages

FREE_PART = 10  # they take at most one part in this many of the GPU's free memory
AT_ONCE = 1 << 26  # bytes sent together


def can_reside(device: torch.device, size: int) -> bool:
    """Whether that many bytes of images are to lie on the device; never on the CPU."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size * FREE_PART <= free


class ResidentImages:
    """Some images of an array, copied to a device.

    Args:
        reader: Of the images, uint8 (N, H, W, C).
        indices: int64 (n,), distinct: which of them.
        device: Where they shall lie.
    """

    def __init__(self, reader: Reader, indices: NDArray[np.int64], device: torch.device) -> None:
        self._indices = np.sort(indices)  # in the order of the file
        shape = (len(indices), *reader.images.shape[1:])
        self._pixels = torch.empty(shape, dtype=torch.uint8, device=device)
        together = max(1, AT_ONCE // max(1, reader.images[0].nbytes))
        for start in range(0, len(indices), together):
            part = reader.take(self._indices[start : start + together])
            self._pixels[start : start + together] = torch.from_numpy(part)
        release_pages(reader.images)

    def take(
        self,
        indices: NDArray[np.int64],
        rows: NDArray[np.int64] | None = None,
        columns: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """The same as `striate.data.pixels.gather`, on the device.

        Args:
            indices: int64 (B,), places in the reader's array.
            rows: int64 (B, H), the source row of every row; None leaves the pixels in place.
            columns: int64 (B, W), the source column of every column; given where `rows` is.

        Returns:
            uint8 (B, H, W, C).
        """
        images = self._send(np.searchsorted(self._indices, indices))
        if rows is None or columns is None:
            return self._pixels[images]
        n, h, w, c = self._pixels.shape
        lines = (images[:, None] * h + self._send(rows)) * w  # (B, H)
        places = lines[:, :, None] + self._send(columns)[:, None, :]
        found = self._pixels.view(n * h * w, c).index_select(0, places.flatten())
        return found.view(*places.shape, c)

    def _send(self, places: NDArray[np.int64]) -> Tensor:
        return send(torch.from_numpy(places), self._pixels.device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting, which needs memory that stays in place; MPS waits."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type != "mps")
