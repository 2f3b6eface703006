"""The kernels of the lectures' filter gallery, and kernels from a text file.

The decks print identity, three edge detectors, sharpen, box blur and Gaussian blur as matrices
(decks 000 and 002), and name Gabor filters as what the first layer of a net learns (deck 003).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, get_args

import numpy as np
from numpy.typing import NDArray

from striate.errors import UsageError

Show = Literal["clip", "absolute", "centred", "stretch"]
SHOWS: tuple[str, ...] = get_args(Show)
Pair = tuple[int, int]  # height, width

LARGEST_SIDE = 255  # of a kernel
LARGEST_WEIGHT = 1e6
LARGEST_FILE = 2**21  # bytes; 255x255 numbers of full precision have less
_LENGTHS = {"sigma": (0.1, 42.0), "wavelength": (2.0, 74.0)}  # pixels: three deviations fit
_ONE_OCTAVE = 0.56  # sigma over wavelength at which a Gabor filter is one octave wide
_WAVELENGTH = 8.0  # pixels
_ADDS_UP = 1e-9


class KernelOptions(TypedDict, total=False):
    """What shapes a kernel; each kernel reads some of them, and another is an error.

    `size` is a side or (height, width), `sigma` and `wavelength` are in pixels, `angle` in degrees.
    """

    size: int | Pair
    sigma: float
    angle: float
    wavelength: float


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights that are moved over an image.

    Attributes:
        name: In the gallery, or the file's name without its ending.
        values: float64 (h, w).
        show: How its responses are best shown, see `Filtered.picture`.
    """

    name: str
    values: NDArray[np.float64] = field(repr=False)
    show: Show

    @property
    def size(self) -> Pair:
        """Height and width."""
        height, width = self.values.shape
        return height, width

    @property
    def symmetric(self) -> bool:
        """Whether half a turn leaves it as it is: convolution and cross-correlation agree."""
        return bool(np.array_equal(self.values, self.values[::-1, ::-1]))


def make_kernel(name: str, **options: Unpack[KernelOptions]) -> Kernel:
    """A kernel of the gallery.

    >>> (16 * make_kernel("gaussian").values).tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]

    Args:
        name: One of `KERNELS`.
        **options: `size` for box, gaussian, gabor; `sigma` for gaussian, gabor; `angle` and
            `wavelength` for gabor.

    Raises:
        UsageError: For an unknown name, an option that the kernel does not read, or one out of
            range.
    """
    if name not in _GALLERY:
        raise UsageError(f"there is no kernel `{name}`", hint=_near(name))
    entry = _GALLERY[name]
    for option in options:
        _check_read(name, option, entry.reads)
    return Kernel(name, entry.make(options), entry.show)


def kernel_of(values: NDArray[Any] | Sequence[Sequence[float]], name: str = "kernel") -> Kernel:
    """A kernel from its weights.

    Responses are shown as they are where the weights add up to 1, by their absolute value where
    they add up to 0, and stretched to the full range otherwise.

    Args:
        values: (h, w), each side at most 255.
        name: What to call it.

    Raises:
        UsageError: If it has another shape, or weights that are not finite or beyond 1e6.
    """
    try:
        weights = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError("a kernel is rows of as many numbers each") from None
    if weights.ndim != 2 or not all(1 <= side <= LARGEST_SIDE for side in weights.shape):
        raise UsageError(
            f"a kernel of shape {weights.shape}", hint=f"height x width, each 1 to {LARGEST_SIDE}"
        )
    if not bool(np.all(np.abs(weights) <= LARGEST_WEIGHT)):  # false for NaN too
        raise UsageError(f"a kernel's weights must be finite and at most {LARGEST_WEIGHT:.0e}")
    near = _ADDS_UP * max(1.0, float(np.abs(weights).sum()))
    total = float(weights.sum())
    show: Show = "stretch"
    if abs(total) <= near:
        show = "absolute"
    elif abs(total - 1) <= near:
        show = "clip"
    return Kernel(name, weights, show)


def read_kernel(path: str | Path) -> Kernel:
    """A kernel from a text file: one row a line, numbers apart by spaces or commas.

    A last line `/16` divides all by 16; what follows a `#` is a comment.

    Args:
        path: The file, UTF-8, at most 2 MiB.

    Raises:
        UsageError: With the line, where it is no such text.
    """
    path = Path(path)
    rows: list[list[float]] = []
    divisor: float | None = None
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if divisor is not None:
            raise UsageError("a row after the divisor", path=where, hint="the divisor comes last")
        if words[0].startswith("/"):
            divisor = _divisor("".join(words), where)
            continue
        rows.append([_number(word, where) for word in words])
        if len(rows[-1]) != len(rows[0]):
            message = f"{len(rows[-1])} numbers, where the first row has {len(rows[0])}"
            raise UsageError(message, path=where)
    if not rows:
        raise UsageError("no numbers in it", path=path)
    try:
        with np.errstate(over="ignore"):  # what is infinite is refused like all that is too large
            return kernel_of(np.array(rows) / (divisor or 1.0), path.stem)
    except UsageError as error:
        raise UsageError(error.message, path=path, hint=error.hint) from None


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError("neither a kernel nor a file", path=path, hint=_near(str(path)))
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError("too long for a kernel: more than 2 MiB", path=path)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("not a text in UTF-8", path=path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read: {reason}", path=path) from None


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, KERNELS, n=1)
    return f"did you mean {near[0]}?" if near else "kernels: " + ", ".join(KERNELS)


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"`{word[:40]}` is not a number", path=where)
    return value


def _divisor(text: str, where: str) -> float:
    value = _number(text[1:], where)
    if value == 0:
        raise UsageError("a divisor of 0", path=where)
    return value


def _check_read(name: str, option: str, reads: tuple[str, ...]) -> None:
    if option in reads:
        return
    readers = [other for other, entry in _GALLERY.items() if option in entry.reads]
    if not readers:
        raise UsageError(f"a kernel has no {option}")
    raise UsageError(f"{name} reads no {option}", hint="read by " + ", ".join(readers))


def as_pair(value: int | Pair, name: str, *, least: int, most: int) -> Pair:
    """A size for both axes, or one for each, as (height, width).

    Raises:
        UsageError: If it is neither, or out of range.
    """
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or not all(least <= side <= most for side in sides):
        raise UsageError(
            f"{name} {'x'.join(map(str, sides))} is out of range",
            hint=f"one number or height x width, from {least} to {most}",
        )
    return int(sides[0]), int(sides[1])


def _sides(options: KernelOptions, default: int) -> Pair:
    return as_pair(options.get("size", default), "size", least=1, most=LARGEST_SIDE)


def _length(name: str, value: float) -> float:
    least, most = _LENGTHS[name]
    if not least <= value <= most:
        raise UsageError(f"{name} {value:g} is out of range", hint=f"{least} to {most} pixels")
    return value


def _box(options: KernelOptions) -> NDArray[np.float64]:
    height, width = _sides(options, 3)
    return np.full((height, width), 1 / (height * width))


def _gaussian(options: KernelOptions) -> NDArray[np.float64]:
    """Samples of the normal curve; without sigma the binomial numbers, 1 2 1 in the lectures."""
    if "sigma" not in options:
        rows, columns = (
            np.array([math.comb(side - 1, k) / 2 ** (side - 1) for k in range(side)])
            for side in _sides(options, 3)
        )
        return np.outer(rows, columns)
    sigma = _length("sigma", options["sigma"])
    y, x = _places(_sides(options, _side_for(sigma)))
    return _scaled(np.exp(-(x**2 + y**2) / (2 * sigma**2)))


def _gabor(options: KernelOptions) -> NDArray[np.float64]:
    """exp(-(x^2 + y^2) / (2 sigma^2)) cos(2 pi u / wavelength), u along the angle.

    A round envelope and an even wave. The weights are divided by the sum of their absolute values,
    so that a response is never larger than the largest pixel.
    """
    wavelength = _length("wavelength", options.get("wavelength", _WAVELENGTH))
    sigma = _length("sigma", options.get("sigma", _ONE_OCTAVE * wavelength))
    angle = options.get("angle", 0.0)
    if not math.isfinite(angle) or abs(angle) > 360:
        raise UsageError(f"angle {angle:g} is out of range", hint="-360 to 360 degrees")
    y, x = _places(_sides(options, _side_for(sigma)))
    turn = math.radians(angle)
    u = x * math.cos(turn) - y * math.sin(turn)  # rows count downwards, angles turn upwards
    envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return _scaled(envelope * np.cos(2 * math.pi * u / wavelength))


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = values / np.abs(values).sum()
    return scaled


def _side_for(sigma: float) -> int:
    """Wide enough for three deviations on each side."""
    return 2 * math.ceil(3 * sigma) + 1


def _places(size: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The row and column of every weight, from the middle: (h, 1) and (1, w)."""
    height, width = size
    rows = np.arange(height, dtype=np.float64) - (height - 1) / 2
    columns = np.arange(width, dtype=np.float64) - (width - 1) / 2
    return rows[:, None], columns[None, :]


@dataclass(frozen=True)
class _Entry:
    make: Callable[[KernelOptions], NDArray[np.float64]]
    show: Show
    reads: tuple[str, ...] = ()


def _printed(*rows: tuple[int, ...]) -> Callable[[KernelOptions], NDArray[np.float64]]:
    return lambda _: np.array(rows, np.float64)


_GALLERY = {
    "identity": _Entry(_printed((0, 0, 0), (0, 1, 0), (0, 0, 0)), "clip"),
    "edge1": _Entry(_printed((1, 0, -1), (0, 0, 0), (-1, 0, 1)), "absolute"),
    "edge2": _Entry(_printed((0, 1, 0), (1, -4, 1), (0, 1, 0)), "absolute"),
    "edge3": _Entry(_printed((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)), "absolute"),
    "sharpen": _Entry(_printed((0, -1, 0), (-1, 5, -1), (0, -1, 0)), "clip"),
    "box": _Entry(_box, "clip", ("size",)),
    "gaussian": _Entry(_gaussian, "clip", ("size", "sigma")),
    "gabor": _Entry(_gabor, "centred", ("size", "sigma", "angle", "wavelength")),
}
KERNELS = tuple(_GALLERY)
