"""Training images out of an array of bytes: moved, recoloured, blanked and scaled in one pass."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.kernels.library import load_library

LEVELS = 256
FEWEST_BYTES = 1 << 19  # of a batch that is worth waking the other threads for


class _Gather(ctypes.Structure):
    """`StriateGather` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "height", "width", "channels")),
        *((name, ctypes.c_int32) for name in ("half", "threads")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("x", "places", "down", "right", "mirrored", "warps", "table"),
                *("matrices", "shares", "weights", "scale", "shift"),
            )
        ),
        ("side", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("top", "left", "y")),
    )


@dataclass(frozen=True, eq=False)
class Moves:
    """Where each image's pixels come from: (i, j) from (i + down, j + right), or mirrored.

    What lies beyond the border is reflected, without the border itself.

    Args:
        down: int64 (B,), in pixels.
        right: int64 (B,).
        mirrored: bool (B,): the columns of the source are counted from the right.
    """

    down: NDArray[np.int64]
    right: NDArray[np.int64]
    mirrored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Colours:
    """How each image's colours change: matrix x + share * mean brightness, clamped to 0..1.

    Args:
        matrices: float32 (B, C, C), applied to the colour as a column.
        shares: float32 (B,).
    """

    matrices: NDArray[np.float32]
    shares: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Squares:
    """A square of each image that becomes 0, cut off at the border.

    Args:
        top: int64 (B,), its first row; may lie outside.
        left: int64 (B,), its first column.
        side: In pixels.
    """

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    side: int


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the bytes of each channel become.

    Args:
        table: (C, 256), of the batch's type; where colours change, fp32 on their scale of 0..1.
        scale: float32 (C,): what colours that were changed or sampled are multiplied by ...
        shift: float32 (C,): ... and what is added then.
        weights: float32 (C,): of the channels in the brightness.
    """

    table: Tensor
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    weights: NDArray[np.float32]


def can_gather(*, channels: int, plain: bool) -> bool:
    """Whether `gather_images` makes such batches here; plain ones have no warps and no colours."""
    return load_library() is not None and (channels in {1, 3} or plain)


def gather_images(
    images: NDArray[np.uint8],
    places: NDArray[np.int64],
    result: Tensor,
    scaling: Scaling,
    *,
    moves: Moves | None = None,
    warps: NDArray[np.float32] | None = None,
    colours: Colours | None = None,
    squares: Squares | None = None,
) -> None:
    """Fill a batch. An image becomes the same numbers in any batch, by any number of threads.

    Args:
        images: uint8 (N, H, W, C), C-contiguous: an array or a memory map.
        places: int64 (B,), each at least 0 and below N.
        result: fp32 or bf16 (B, H, W, C), contiguous, on the CPU: what is written.
        scaling: What the bytes become.
        moves: Where pixels come from; None leaves them in place.
        warps: float32 (B, 2, 3), C-contiguous: for each place (x, y, 1) in the result a place
            (x, y) in the moved image, sampled bilinearly and reflected beyond the border; both axes
            run from -1 at one outer edge to 1 at the other. None for each pixel's own place.
        colours: How colours change; None leaves them.
        squares: What becomes 0; None for nothing.
    """
    library = load_library()
    assert library is not None
    count, height, width, channels = result.shape
    job = _Gather(
        images=count,
        height=height,
        width=width,
        channels=channels,
        half=result.dtype == torch.bfloat16,
        threads=_threads(result),
        x=images.ctypes.data,
        places=places.ctypes.data,
        table=scaling.table.data_ptr(),
        y=result.data_ptr(),
    )
    _point(job, scale=scaling.scale, shift=scaling.shift)
    if moves is not None:
        _point(job, down=moves.down, right=moves.right, mirrored=moves.mirrored)
    if warps is not None:
        _point(job, warps=warps)
    if colours is not None:
        _point(job, matrices=colours.matrices, shares=colours.shares, weights=scaling.weights)
    if squares is not None:
        _point(job, top=squares.top, left=squares.left)
        job.side = squares.side
    library.striate_gather(ctypes.byref(job))


def _point(job: _Gather, **arrays: NDArray[np.generic]) -> None:
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        setattr(job, name, array.ctypes.data)


def _threads(result: Tensor) -> int:
    """One, or all of PyTorch's: another number would end threads of the pool that others need."""
    return torch.get_num_threads() if result.nbytes >= FEWEST_BYTES else 1
