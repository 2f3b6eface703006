"""Images of bytes scaled with antialiasing, to the bytes of Pillow asked for one pass at a time.

Each pixel of the result is a weighted mean over a window, which widens where the image shrinks;
first along the rows, rounded to bytes, then along the columns.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate.kernels.library import load_library, processor

Filter = Literal["bilinear", "bicubic"]
Box = tuple[float, float, float, float]

UNIT = 1 << 22  # the weight 1
LOW_BITS = 11  # of a weight along the rows
LOADED = {1: 16, 3: 4}  # pixels that are multiplied at once, by their channels
REACH: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0}  # pixels to each side
SHARPNESS = -0.5  # the parameter of the cubic


class _Windows(ctypes.Structure):
    """`StriateWindows` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("size", "most")),
        *((name, ctypes.c_void_p) for name in ("first", "count", "weights")),
    )


class _Resize(ctypes.Structure):
    """`StriateResize` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("height", "width", "channels", "pixel")),
        *((name, _Windows) for name in ("across", "down")),
        *((name, ctypes.c_int64) for name in ("first_row", "rows")),
        *((name, ctypes.c_void_p) for name in ("x", "between", "y")),
    )


@dataclass(frozen=True, eq=False)
class Windows:
    """Which pixels along an axis make each pixel of the result.

    Args:
        first: int64 (n,), the first pixel of each window.
        count: int64 (n,), how many it has.
        weights: int32 (n, most), in units of 2^-22; 0 beyond the window. Or int16,
            as `in_parts` says.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    weights: NDArray[np.int32] | NDArray[np.int16]

    def structure(self) -> _Windows:
        """For the library; the arrays stay this object's."""
        size, most = self.weights.shape
        arrays = {name: getattr(self, name).ctypes.data for name in ("first", "count", "weights")}
        return _Windows(size=size, most=most, **arrays)

    def in_parts(self, channels: int) -> Windows:
        """With the weights as the library multiplies them along the rows: int16 (n, most).

        For the pixels of a load their low parts, then their high ones: those of two neighbours as
        often as a pixel has values, with one to spare.
        """
        loaded = LOADED[channels]
        filled = np.pad(self.weights, ((0, 0), (0, -self.weights.shape[1] % loaded)))
        pairs = filled.reshape(len(filled), -1, 1, loaded // 2, 1, 2)
        repeated = np.repeat(pairs, 4 if channels == 3 else 1, axis=4)
        low, high = repeated & ((1 << LOW_BITS) - 1), repeated >> LOW_BITS
        parts = np.concatenate([low, high], axis=2).astype(np.int16)
        return Windows(self.first, self.count, parts.reshape(len(parts), -1))


def can_resize(channels: int) -> bool:
    """Whether `resize_image` takes such images, faster than Pillow: with AVX2 or more."""
    return processor() not in {"pytorch", "scalar"} and channels in {1, 3}


def resize_image(
    pixels: NDArray[np.uint8], size: tuple[int, int], *, filter: Filter, box: Box | None = None
) -> NDArray[np.uint8]:
    """Scale an image; the bytes are those of Pillow's `Image.resize` to (H, w), then to (h, w).

    Args:
        pixels: uint8 (H, W, C); C is 1 or 3. Row-major; of three channels with a byte to spare
            behind each pixel or not, otherwise it is copied.
        size: (h, w) of the result.
        filter: How pixels are weighted.
        box: Left, upper, right and lower edge of the part to scale, in pixels; None for all.

    Returns:
        uint8 (h, w, C).
    """
    library = load_library()
    assert library is not None
    height, width, channels = pixels.shape
    pixel = 4 if channels == 3 and pixels.strides == (4 * width, 4, 1) else channels
    if pixel == channels:
        pixels = np.ascontiguousarray(pixels)
    left, upper, right, lower = box or (0.0, 0.0, float(width), float(height))
    across = _row_windows(width, size[1], channels=channels, start=left, end=right, filter=filter)
    down = find_windows(height, size[0], start=upper, end=lower, filter=filter)
    first_row = int(down.first[0])
    rows = int(down.first[-1] + down.count[-1]) - first_row
    between = np.empty((rows, size[1], channels), np.uint8)
    result = np.empty((*size, channels), np.uint8)
    job = _Resize(
        height=height,
        width=width,
        channels=channels,
        pixel=pixel,
        across=across.structure(),
        down=down.structure(),
        first_row=first_row,
        rows=rows,
        x=pixels.ctypes.data,
        between=between.ctypes.data,
        y=result.ctypes.data,
    )
    library.striate_resize(ctypes.byref(job))
    return result


@lru_cache(maxsize=64)
def find_windows(size: int, count: int, *, start: float, end: float, filter: Filter) -> Windows:
    """The windows of `count` pixels over the part from `start` to `end` of an axis.

    The steps and their order are Pillow's, whose edges are in single precision: the weights are
    equal to the last bit.

    Args:
        size: Pixels of the axis.
        count: Pixels of the result.
        start: Where the part begins, in pixels from the outer edge.
        end: Where it ends.
        filter: How pixels are weighted.
    """
    edges = np.array([start, end], np.float32)
    start, scale = float(edges[0]), float(edges[1] - edges[0]) / count
    stretch = max(scale, 1.0)
    reach = REACH[filter] * stretch
    centres = start + (np.arange(count) + 0.5) * scale
    first = (centres - reach + 0.5).astype(np.int64).clip(min=0)
    last = (centres + reach + 0.5).astype(np.int64).clip(max=size)
    most = int(np.ceil(reach)) * 2 + 1
    places = np.arange(most)
    inside = places < (last - first)[:, None]
    distances = ((places + first[:, None]) - centres[:, None] + 0.5) * (1 / stretch)
    weights = np.where(inside, _weigh(np.abs(distances), filter), 0.0)
    totals = np.zeros(count)
    for place in places:  # in order, as the last bit depends on it
        totals += weights[:, place]
    weights /= np.where(totals == 0, 1.0, totals)[:, None]
    nearest = np.where(weights < 0, -0.5, 0.5)
    return Windows(first, last - first, (nearest + weights * UNIT).astype(np.int32))


@lru_cache(maxsize=64)
def _row_windows(
    size: int, count: int, *, channels: int, start: float, end: float, filter: Filter
) -> Windows:
    return find_windows(size, count, start=start, end=end, filter=filter).in_parts(channels)


def _weigh(x: NDArray[np.float64], filter: Filter) -> NDArray[np.float64]:
    """The weight at a distance of x >= 0 from the centre."""
    if filter == "bilinear":
        return np.where(x < 1, 1 - x, 0.0)
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
