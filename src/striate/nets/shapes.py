"""The volume between any two layers, by the lectures' formula floor((W - F + 2P)/S) + 1."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate.nets.graph import (
    Chain,
    Convolution,
    Full,
    GlobalAverage,
    Pair,
    Parallel,
    Pool,
    Reshape,
    ResponseNorm,
    Step,
    TransposedConvolution,
    Unpool,
    Upsample,
    Volume,
    Whiten,
)
from striate.nets.source import LocatedNetError, Place

LARGEST_VOLUME = 2**40  # values for one image


@dataclass(frozen=True)
class TracedStep:
    """A layer with the volumes before and after it; `partner` is the maxpool that an unpool undoes."""

    step: Step
    input: Volume
    output: Volume
    partner: str | None = None


@dataclass(frozen=True)
class TracedParallel:
    """Branches with the volumes before and after them."""

    parallel: Parallel
    branches: tuple[TracedChain, ...]
    input: Volume
    output: Volume


TracedChain = tuple[TracedStep | TracedParallel, ...]


@dataclass(frozen=True)
class Traced:
    """A net on an input: every volume, and what is probably not meant."""

    input: Volume
    chain: TracedChain
    output: Volume
    warnings: tuple[str, ...]


def trace(chain: Chain, volume: Volume, source: str) -> Traced:
    """The volumes of a net on an input volume.

    Raises:
        LocatedNetError: Where a layer does not fit its input, or branches do not match.
    """
    tracer = _Tracer(source)
    traced, output = tracer.chain(chain, volume)
    if traced and isinstance(traced[-1], TracedStep):
        tracer.look_at_end(traced[-1].step)
    return Traced(volume, traced, output, tuple(dict.fromkeys(tracer.warnings)))


class _Misfit(Exception):
    """A layer that does not fit its input."""


@dataclass
class _Tracer:
    source: str
    warnings: list[str] = field(default_factory=list)
    pools: list[TracedStep] = field(default_factory=list)

    def fail(self, message: str, part: Step | Parallel) -> LocatedNetError:
        used = "" if part.used is None else f" (in {part.used})"
        place = part.place
        if isinstance(part, Step):
            place = Place(place.offset, self._word_length(place.offset))
        return LocatedNetError(message + used, source=self.source, place=place)

    def _word_length(self, offset: int) -> int:
        rest = self.source[offset : offset + 100]
        ends = [i for i, letter in enumerate(rest) if letter.isspace() or letter in "[]()|+"]
        return min(ends, default=len(rest))

    def chain(self, chain: Chain, volume: Volume) -> tuple[TracedChain, Volume]:
        traced: list[TracedStep | TracedParallel] = []
        for part in chain:
            one = self._step(part, volume) if isinstance(part, Step) else self._all(part, volume)
            traced.append(one)
            volume = one.output
        return tuple(traced), volume

    def _step(self, step: Step, volume: Volume) -> TracedStep:
        partner = None
        try:
            if isinstance(step.layer, Unpool):
                pool = self._partner(step.layer, volume)
                partner, output = pool.step.name, pool.input
            else:
                output = self._output(step, volume)
            if output.size > LARGEST_VOLUME:
                raise _Misfit(f"{output} values for one image are too many")
        except _Misfit as misfit:
            message = f"{step.text} on {volume}: {misfit}"
            raise self.fail(message, step) from None
        traced = TracedStep(step, volume, output, partner)
        if isinstance(step.layer, Pool) and step.layer.kind == "max":
            self.pools.append(traced)
        return traced

    def _partner(self, layer: Unpool, volume: Volume) -> TracedStep:
        if not self.pools:
            raise _Misfit("no maxpool before it is left to undo")
        pool = self.pools.pop()
        if not isinstance(pool.step.layer, Pool) or pool.step.layer.kernel != layer.factor:
            raise _Misfit(f"the maxpool to undo is {pool.step.text}")
        if pool.output != volume:
            raise _Misfit(f"the maxpool to undo gave {pool.output}")
        return pool

    def _all(self, parallel: Parallel, volume: Volume) -> TracedParallel:
        pairs = [self.chain(branch, volume) for branch in parallel.branches]
        outputs = [output for _, output in pairs]
        first = outputs[0]
        for number, other in enumerate(outputs[1:], start=2):
            same_size = (first.height, first.width) == (other.height, other.width)
            fits = other == first if parallel.join == "add" else same_size
            if not fits or other.flat != first.flat:
                what = "cannot be added" if parallel.join == "add" else "cannot be concatenated"
                message = f"branch 1 gives {first} and branch {number} gives {other}: {what}"
                raise self.fail(message, parallel)
        channels = first.channels if parallel.join == "add" else sum(o.channels for o in outputs)
        output = Volume(first.height, first.width, channels, first.flat)
        return TracedParallel(parallel, tuple(chain for chain, _ in pairs), volume, output)

    def _output(self, step: Step, volume: Volume) -> Volume:
        layer = step.layer
        match layer:
            case Full():
                return Volume(1, 1, layer.units, flat=True)
            case Reshape():
                output = Volume(layer.height, layer.width, layer.channels)
                if output.size != volume.size:
                    raise _Misfit(f"{volume.size} values do not make {output.size}")
                return output
        if volume.flat and isinstance(layer, _SPATIAL):
            raise _Misfit("this needs height and width (put a reshape before it)")
        match layer:
            case Convolution():
                return self._convolved(step.text, layer, volume)
            case TransposedConvolution():
                return _transposed(layer, volume)
            case Whiten(kernel=(height, width)):
                size = self._windows(step.text, volume, (height, width), (1, 1), (0, 0))
                return Volume(*size, 2 * height * width * volume.channels)
            case Pool():
                return self._pooled(step.text, layer, volume)
            case GlobalAverage():
                return Volume(1, 1, volume.channels)
            case Upsample(factor=(height, width)):
                return Volume(volume.height * height, volume.width * width, volume.channels)
            case _:
                return volume

    def _convolved(self, text: str, layer: Convolution, volume: Volume) -> Volume:
        _check_groups(layer, volume)
        size = self._windows(
            text, volume, layer.kernel, layer.stride, layer.padding,
            dilation=layer.dilation, ceil=layer.ceil,
        )  # fmt: skip
        return Volume(*size, layer.channels)

    def _pooled(self, text: str, layer: Pool, volume: Volume) -> Volume:
        if any(2 * p > f for p, f in zip(layer.padding, layer.kernel, strict=True)):
            raise _Misfit(f"padding {_both(layer.padding)} is more than half the window")
        size = self._windows(
            text, volume, layer.kernel, layer.stride, layer.padding, ceil=layer.ceil
        )
        if layer.ceil:
            # A window that would start in the padding after the image is left out, as PyTorch does.
            sizes = zip(
                size, (volume.height, volume.width), layer.stride, layer.padding, strict=True
            )
            size = tuple(n - 1 if (n - 1) * s >= w + p else n for n, w, s, p in sizes)  # type: ignore[assignment]
        return Volume(*size, volume.channels)

    def _windows(
        self,
        text: str,
        volume: Volume,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        *,
        dilation: Pair = (1, 1),
        ceil: bool = False,
    ) -> Pair:
        axes = [
            _Axis(*values)
            for values in zip(
                (volume.height, volume.width), kernel, stride, padding, dilation, strict=True
            )
        ]
        for axis in axes:
            if axis.room < 0:
                raise _Misfit(f"{axis.formula} = {axis.exact}: the window does not fit the input")
        if not ceil:
            self._warn_of_dropped(text, volume, axes)
        height, width = (axis.outputs(ceil) for axis in axes)
        return height, width

    def _warn_of_dropped(self, text: str, volume: Volume, axes: list[_Axis]) -> None:
        """Rows that no window reaches; where only padding falls off nothing is lost."""
        rows, columns = (axis.dropped for axis in axes)
        if not rows and not columns:
            return
        axis = axes[0] if rows else axes[1]
        lost = _lost(rows, columns)
        fit = "" if axis.fitting is None else f" (padding {axis.fitting} fits)"
        self.warnings.append(
            f"{text} on {volume}: {axis.formula} = {axis.exact} is not whole; {lost} dropped{fit}"
        )

    def look_at_end(self, step: Step) -> None:
        if step.text == "softmax":
            self.warnings.append(
                "softmax at the end: the loss applies it itself, so training sees it twice"
            )


_SPATIAL = (
    Convolution,
    TransposedConvolution,
    Whiten,
    Pool,
    GlobalAverage,
    Upsample,
    Unpool,
    ResponseNorm,
)


@dataclass(frozen=True)
class _Axis:
    """One axis of a window sliding over an input of `size`."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def room(self) -> int:
        return self.size - self.dilation * (self.kernel - 1) - 1 + 2 * self.padding

    @property
    def formula(self) -> str:
        span = (
            f"{self.kernel}" if self.dilation == 1 else f"{self.dilation * (self.kernel - 1) + 1}"
        )
        return f"({self.size} - {span} + 2*{self.padding})/{self.stride} + 1"

    @property
    def exact(self) -> str:
        return f"{self.room / self.stride + 1:.2f}".rstrip("0").rstrip(".")

    def outputs(self, ceil: bool) -> int:
        return (-(-self.room // self.stride) if ceil else self.room // self.stride) + 1

    @property
    def dropped(self) -> int:
        return max(0, self.room % self.stride - self.padding)

    @property
    def fitting(self) -> int | None:
        """The smallest padding at which the stride divides."""
        bare = self.room - 2 * self.padding
        fits = (
            p for p in range(self.kernel) if bare + 2 * p >= 0 and (bare + 2 * p) % self.stride == 0
        )
        return next(fits, None)


def _lost(rows: int, columns: int) -> str:
    names = [(rows, "row"), (columns, "column")]
    if rows == columns:
        return (
            "the last row and column are" if rows == 1 else f"the last {rows} rows and columns are"
        )
    parts = [name if n == 1 else f"{n} {name}s" for n, name in names if n]
    return f"the last {' and '.join(parts)} {'is' if rows + columns == 1 else 'are'}"


def _check_groups(layer: Convolution | TransposedConvolution, volume: Volume) -> None:
    if volume.channels % layer.groups or layer.channels % layer.groups:
        raise _Misfit(
            f"{layer.groups} groups must divide {volume.channels} and {layer.channels} channels"
        )


def _transposed(layer: TransposedConvolution, volume: Volume) -> Volume:
    _check_groups(layer, volume)
    axes = zip(
        (volume.height, volume.width), layer.kernel, layer.stride, layer.padding, layer.dilation,
        strict=True,
    )  # fmt: skip
    extra = transposed_extra(layer)
    sizes = [(w - 1) * s - 2 * p + d * (f - 1) + 1 for w, f, s, p, d in axes]
    height, width = (size + more for size, more in zip(sizes, extra, strict=True))
    if min(height, width) < 1:
        raise _Misfit(f"the output would be {height}x{width}")
    return Volume(height, width, layer.channels)


def transposed_extra(layer: TransposedConvolution) -> Pair:
    """Rows and columns that `c` adds at the end: the most that the convolution would still drop."""
    return (layer.stride[0] - 1, layer.stride[1] - 1) if layer.ceil else (0, 0)


def _both(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
