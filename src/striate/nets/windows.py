"""A window sliding over an axis: the lectures' floor((W - F + 2P)/S) + 1, and what it drops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from striate.nets.graph import Convolution, Pair, Pool, TransposedConvolution, Volume


class MisfitError(Exception):
    """A layer that does not fit its input.

    Args:
        message: The reason alone; the layer and its input are named around it.
        hint: How to mend it.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Axis:
    """One axis: an input of `size`, a window of `kernel`, zero `padding` on both sides."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def span(self) -> int:
        """How far the window reaches, with its holes."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def room(self) -> int:
        """W - F + 2P: how far the window can move."""
        return self.size - self.span + 2 * self.padding

    @property
    def formula(self) -> str:
        """The sum with its numbers, and what it gives."""
        exact = f"{self.room / self.stride + 1:.2f}".rstrip("0").rstrip(".")
        return f"({self.size} - {self.span} + 2*{self.padding})/{self.stride} + 1 = {exact}"

    def outputs(self, *, ceil: bool = False) -> int:
        """Positions of the window; `ceil` adds one that reaches over the end, if there is a rest.

        As in PyTorch's pooling, there is none that would see nothing but padding.

        Raises:
            MisfitError: If there is no position at all.
        """
        if self.room < 0:
            message = f"{self.formula}: the window is larger than its input"
            raise MisfitError(message, "a smaller window, more padding or larger images would fit")
        more = self.room // self.stride + 1  # where the window after the last one stands
        sees = more * self.stride < self.size + self.padding
        return more + (ceil and self.room % self.stride > 0 and sees)

    def overhang(self) -> int:
        """Rows that the last window reaches over the end, when the size is rounded up."""
        last = self.stride * (self.outputs(ceil=True) - 1)
        return max(0, last + self.span - self.size - 2 * self.padding)

    @property
    def dropped(self) -> int:
        """Rows of the input after the last window that are lost.

        None are where only padding is left over, nor where no more are left than a stride longer
        than the window leaves out between any two windows, as in the 1x1 convolutions of ResNet.
        """
        rest = self.room % self.stride - self.padding
        return rest if rest > max(0, self.stride - self.span) else 0

    @property
    def fitting(self) -> int | None:
        """The smallest padding at which the stride divides."""
        bare = self.size - self.span
        paddings = range(max(0, -(bare // 2)), self.kernel)
        return next((p for p in paddings if (bare + 2 * p) % self.stride == 0), None)


def axes(layer: Convolution | Pool, volume: Volume) -> tuple[Axis, Axis]:
    """The two axes of a layer's window on a volume."""
    dilation = layer.dilation if isinstance(layer, Convolution) else (1, 1)
    kernel, stride, padding = layer.kernel, layer.stride, layer.padding
    return (
        Axis(volume.height, kernel[0], stride[0], padding[0], dilation[0]),
        Axis(volume.width, kernel[1], stride[1], padding[1], dilation[1]),
    )


def pooled(layer: Pool, volume: Volume) -> Pair:
    """Height and width after a pooling.

    Raises:
        MisfitError: If the window does not fit, or the padding is more than PyTorch allows.
    """
    if any(2 * p > f for p, f in zip(layer.padding, layer.kernel, strict=True)):
        text = "x".join(map(str, layer.padding))
        message = f"a padding of {text} is more than half the window"
        raise MisfitError(message, "pad at most half of it")
    rows, columns = axes(layer, volume)
    return rows.outputs(ceil=layer.ceil), columns.outputs(ceil=layer.ceil)


def overhang(layer: Convolution, volume: Volume) -> Pair:
    """Rows and columns of zeros that the last window of a rounded-up convolution needs."""
    rows, columns = axes(layer, volume)
    return (rows.overhang(), columns.overhang()) if layer.ceil else (0, 0)


def transposed(layer: TransposedConvolution, volume: Volume) -> Pair:
    """Height and width after a transposed convolution.

    Raises:
        MisfitError: If nothing would be left.
    """
    sides = (volume.height, volume.width)
    options = (sides, layer.kernel, layer.stride, layer.padding, layer.dilation)
    sizes = [(w - 1) * s - 2 * p + d * (f - 1) + 1 for w, f, s, p, d in zip(*options, strict=True)]
    more = rounding(layer)
    height, width = sizes[0] + more[0], sizes[1] + more[1]
    if min(height, width) < 1:
        raise MisfitError(f"the output would be {height}x{width}", "less padding would fit")
    return height, width


def rounding(layer: TransposedConvolution) -> Pair:
    """Rows and columns that `c` adds at the end: the most that the convolution would drop."""
    return (layer.stride[0] - 1, layer.stride[1] - 1) if layer.ceil else (0, 0)


def dropped_text(pair: Iterable[Axis]) -> str | None:
    """What no window reaches, with the formula; None if nothing is lost."""
    rows, columns = pair
    if not rows.dropped and not columns.dropped:
        return None
    axis = rows if rows.dropped else columns
    fit = "" if axis.fitting is None else f" (padding {axis.fitting} fits)"
    return f"{axis.formula} is not whole; {_lost(rows.dropped, columns.dropped)} dropped{fit}"


def _lost(rows: int, columns: int) -> str:
    if rows == columns:
        many = f"{rows} rows and columns"
        return f"the last {many if rows > 1 else 'row and column'} are"
    counts = [(rows, "row"), (columns, "column")]
    parts = [name if n == 1 else f"{n} {name}s" for n, name in counts if n]
    return f"the last {' and '.join(parts)} {'is' if rows + columns == 1 else 'are'}"
