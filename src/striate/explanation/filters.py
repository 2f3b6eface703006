"""One kernel over one image: what a filter of a convolutional layer responds to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data import decode_full_size
from striate.errors import DataError, UsageError
from striate.explanation.kernels import (
    KERNELS,
    LARGEST_SIDE,
    SHOWS,
    Kernel,
    KernelOptions,
    Pair,
    Show,
    as_pair,
    kernel_of,
    make_kernel,
    read_kernel,
)
from striate.model import atomic_file

Padding = Literal["same"] | int | Pair
Sides = tuple[Pair, Pair]  # (top, bottom), (left, right)

LARGEST_STEP = 1024
LARGEST_IMAGE = 50_000_000  # pixels of an array; files have the same limit
WHITE = 255.0
MIDDLE_GREY = 127.5
_STRIP = 2**17  # values of a result that are summed together: they stay in the cache
_TALLEST_TRANSFORM = 1024  # rows
_MOST_TAPS = 100  # weights above which the Fourier transform is faster; measured


@dataclass(frozen=True, eq=False)
class Filtered:
    """An image after a kernel was moved over it.

    Attributes:
        kernel: The kernel, as it was given.
        responses: (H', W', C), each channel filtered by itself. fp32 on the scale of 0 to 255 for
            images in bytes, float64 on the image's own scale for other arrays.
        input: H, W, C of the image.
        stride: Steps down and across.
        padding: Zeros above and below, left and right.
        flip: Whether the kernel was turned by half a turn, as in signal processing.
        show: How `picture` maps responses to grey levels.
    """

    kernel: Kernel
    responses: NDArray[np.floating] = field(repr=False)
    input: tuple[int, int, int]
    stride: Pair
    padding: Sides
    flip: bool
    show: Show

    @property
    def minimum(self) -> float:
        """The lowest response."""
        return float(self.responses.min())

    @property
    def maximum(self) -> float:
        """The highest response."""
        return float(self.responses.max())

    @property
    def clipped(self) -> float:
        """The share of responses beyond the range that the picture can show."""
        if self.show in ("centred", "stretch"):
            return 0.0
        values = self.responses
        beyond = (values > WHITE) | (values < (0 if self.show == "clip" else -WHITE))
        return float(beyond.mean())

    def picture(self) -> NDArray[np.uint8]:
        """The responses as grey levels or colours, uint8 (H', W', C).

        `clip` shows them as they are, cut off at 0 and 255; `absolute` shows their absolute value,
        cut off at 255, so that edges are bright on black; `centred` shows 0 as middle grey and the
        largest absolute response as black or white; `stretch` shows the lowest as black and the
        highest as white.
        """
        values = self.responses
        if self.show == "absolute":
            values = np.abs(values)
        elif self.show == "centred":
            largest = max(-self.minimum, self.maximum)
            values = MIDDLE_GREY + values * _ratio(MIDDLE_GREY, largest)
        elif self.show == "stretch":
            values = (values - self.minimum) * _ratio(WHITE, self.maximum - self.minimum)
        levels: NDArray[np.uint8] = np.rint(values).clip(0, WHITE).astype(np.uint8)
        return levels

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG; a file of that name is replaced once the new one is whole.

        Raises:
            ResourceError: If the disk is full, or the folder cannot be written.
        """
        pixels = self.picture()
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        with atomic_file(path, size=pixels.nbytes) as file:
            image.save(file, format="PNG")

    def to_json(self) -> dict[str, Any]:
        """The document that `striate filter --json` prints, but for its paths."""
        return {
            "kernel": {"name": self.kernel.name, "values": self.kernel.values.tolist()},
            "flip": self.flip,
            "stride": list(self.stride),
            "padding": [list(sides) for sides in self.padding],
            "input": list(self.input),
            "output": list(self.responses.shape),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "show": self.show,
            "clipped": self.clipped,
        }


def filter_image(
    image: str | Path | bytes | NDArray[Any],
    kernel: str | Path | Kernel | NDArray[Any] | Sequence[Sequence[float]],
    *,
    stride: int | Pair = 1,
    padding: Padding = "same",
    flip: bool = False,
    grey: bool = False,
    show: Show | None = None,
    **options: Unpack[KernelOptions],
) -> Filtered:
    """Move a kernel over an image, each channel by itself, with zeros around it.

    The output size is floor((W - F + 2P)/S) + 1 for height and width apart.

    Args:
        image: A file, its bytes, or an array (H, W) or (H, W, C).
        kernel: A name of the gallery, a text file of numbers, a `Kernel`, or its weights (h, w).
        stride: Steps down and across.
        padding: `same` adds F - 1 rows and columns of zeros in all, so that stride 1 keeps the
            size; else the zeros on each side, or (above and below, left and right).
        flip: Convolution as in signal processing; cross-correlation, as in nets, by default.
        grey: Filter the brightness alone.
        show: How responses become grey levels, see `Filtered.picture`; by the kernel if None.
        **options: `size`, `sigma`, `angle`, `wavelength` of a named kernel.

    Raises:
        DataError: If the image cannot be used.
        UsageError: If the kernel or an option cannot, or the kernel is larger than the image.

    Examples:
        >>> filter_image(np.eye(3), "box").responses[1, 1].round(3).tolist()
        [0.333]
    """
    chosen = _kernel(kernel, options)
    if show is not None and show not in SHOWS:
        raise UsageError(f"`{show}` is no way to show responses", hint="one of " + ", ".join(SHOWS))
    pixels = _pixels(image, grey)
    steps = as_pair(stride, "stride", least=1, most=LARGEST_STEP)
    sides = _sides(padding, chosen.size)
    _check_fit(pixels.shape[:2], chosen.size, sides)
    weights = chosen.values[::-1, ::-1] if flip else chosen.values
    responses = correlate(pixels, weights, stride=steps, padding=sides)
    height, width, channels = pixels.shape
    return Filtered(
        kernel=chosen,
        responses=responses,
        input=(height, width, channels),
        stride=steps,
        padding=sides,
        flip=flip,
        show=show or chosen.show,
    )


def correlate(
    image: NDArray[Any], weights: NDArray[np.float64], *, stride: Pair, padding: Sides
) -> NDArray[np.floating]:
    """Cross-correlation, (g * I)(y, x) = sum over i, j of I(y + i, x + j) g(i, j), by channel.

    Small kernels are summed weight by weight over strips of the image, large ones multiplied as
    Fourier transforms.

    Args:
        image: (H, W, C).
        weights: (h, w), no larger than the padded image.
        stride: Steps down and across.
        padding: Zeros above and below, left and right.

    Returns:
        (H', W', C): fp32 for an image of bytes, float64 otherwise.
    """
    padded = np.pad(image, (*padding, (0, 0)))
    kind = np.float32 if image.dtype == np.uint8 else np.float64
    rows = (padded.shape[0] - weights.shape[0]) // stride[0] + 1
    columns = (padded.shape[1] - weights.shape[1]) // stride[1] + 1
    result = np.empty((rows, columns, image.shape[2]), kind)
    transformed = int(np.count_nonzero(weights)) > _MOST_TAPS
    for first, last in _strips(result.shape, weights.shape, stride, transformed=transformed):
        block = padded[first * stride[0] : (last - 1) * stride[0] + weights.shape[0]]
        part = result[first:last]
        if transformed:
            part[:] = _by_transform(block, weights)[:: stride[0], :: stride[1]]
        else:
            _add_up(block.astype(kind), weights, stride, part)
    return result


def _strips(
    result: tuple[int, ...], kernel: tuple[int, ...], stride: Pair, *, transformed: bool
) -> Iterator[Pair]:
    """First and last row (exclusive) of the strips that a result is made in."""
    if transformed:
        rows = (_TALLEST_TRANSFORM - kernel[0]) // stride[0]
    else:
        rows = _STRIP // (result[1] * result[2])
    rows = max(1, rows)
    for first in range(0, result[0], rows):
        yield first, min(first + rows, result[0])


def _add_up(
    block: NDArray[np.floating],
    weights: NDArray[np.float64],
    stride: Pair,
    result: NDArray[np.floating],
) -> None:
    result[:] = 0
    product = np.empty_like(result)
    height, width = result.shape[:2]
    for (i, j), weight in np.ndenumerate(weights):
        if weight == 0:
            continue
        rows = slice(i, i + (height - 1) * stride[0] + 1, stride[0])
        columns = slice(j, j + (width - 1) * stride[1] + 1, stride[1])
        np.multiply(block[rows, columns], float(weight), out=product)
        result += product


def _by_transform(block: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross-correlation at stride 1, without padding, in float64: (H - h + 1, W - w + 1, C)."""
    height, width = block.shape[:2]
    shape = (_smooth(height), _smooth(width))  # no wrapped-around value is among those kept
    planes = np.moveaxis(block, 2, 0).astype(np.float64)
    product = np.fft.rfft2(planes, shape) * np.conj(np.fft.rfft2(weights, shape))
    values = np.fft.irfft2(product, shape)
    kept = values[:, : height - weights.shape[0] + 1, : width - weights.shape[1] + 1]
    return np.moveaxis(kept, 0, 2)


def _smooth(number: int) -> int:
    """The next number without a prime factor above 5: its Fourier transform is fast."""
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 1


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0 else 0.0


def _kernel(
    kernel: str | Path | Kernel | NDArray[Any] | Sequence[Sequence[float]], options: KernelOptions
) -> Kernel:
    if isinstance(kernel, str) and kernel in KERNELS:
        return make_kernel(kernel, **options)
    if options:
        given = ", ".join(options)
        raise UsageError(f"only kernels of the gallery read {given}", hint=", ".join(KERNELS))
    if isinstance(kernel, Kernel):
        return kernel
    return read_kernel(kernel) if isinstance(kernel, str | Path) else kernel_of(kernel)


def _pixels(image: str | Path | bytes | NDArray[Any], grey: bool) -> NDArray[Any]:
    """(H, W, C) of bytes or float64."""
    if isinstance(image, str | Path | bytes):
        return decode_full_size(image, grey=grey)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "buif":
        raise DataError(
            f"an array of shape {np.shape(image)} and type {pixels.dtype} is no image",
            hint="numbers (H, W) or (H, W, C)",
        )
    if pixels.shape[0] * pixels.shape[1] > LARGEST_IMAGE:
        raise DataError(f"more than {LARGEST_IMAGE // 1_000_000} million pixels")
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float64)
        if not np.isfinite(pixels).all():
            raise DataError("its pixels are not finite")
    return _brightness(pixels) if grey and pixels.shape[2] == 3 else pixels


def _brightness(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, 1); bytes are rounded as Pillow rounds them."""
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    luma: NDArray[np.float64] = pixels @ np.array([[0.299], [0.587], [0.114]])  # ITU-R BT.601
    return luma


def _sides(padding: Padding, kernel: Pair) -> Sides:
    if padding == "same":
        top, left = ((side - 1) // 2 for side in kernel)
        return (top, kernel[0] - 1 - top), (left, kernel[1] - 1 - left)
    if isinstance(padding, str):
        raise UsageError(f"padding `{padding}`", hint="same, a number, or height x width")
    rows, columns = as_pair(padding, "padding", least=0, most=LARGEST_SIDE)
    return (rows, rows), (columns, columns)


def _check_fit(image: tuple[int, ...], kernel: Pair, padding: Sides) -> None:
    for axis, side, size, around in zip(
        ("high", "wide"), kernel, image, map(sum, padding), strict=True
    ):
        if side > size + around:
            raise UsageError(
                f"a kernel {side} {axis} does not fit an image {size} {axis} "
                f"with {around} rows or columns of zeros",
                hint="use --padding same, or a smaller kernel",
            )
