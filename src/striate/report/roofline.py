"""The roofline of a training step: what it reaches, below what the machine could do at most."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from striate.errors import UsageError
from striate.model import write_atomically

if TYPE_CHECKING:
    from striate.report.performance import Bench, LayerPhase, Phase

FORMATS = (".svg", ".png")
SIZE = (9.0, 5.8)  # inches
DOTS = 130  # an inch of a PNG
MOST_NAMES = 24  # layers that are named; more would lie on top of each other
MOST_TOGETHER = 3  # names in one place
NEAR = 1.12  # ratio of intensities below which layers share one name
NAMES_FOOT = 0.02  # of the chart's height, where the names stand
PAPER, INK, SOFT, FAINT = "#fcfbf8", "#1d1c19", "#6a665d", "#cfcabd"
MARKS = {
    "forward": ("o", "#3f6fb5"),
    "input gradient": ("^", "#c9773c"),
    "weight gradient": ("s", "#3d8a5c"),
}
LINES = {"gather": (":", "#8a68b0"), "pointwise": ("--", "#a8324a")}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "striate",  # the same figures give the same file
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


def draw_roofline(bench: Bench, path: str | Path) -> None:
    """Draw a step's phases and layers under the machine's roof, into an SVG or PNG file.

    Raises:
        UsageError: If the file's name ends otherwise.
        ResourceError: If it cannot be written.
    """
    path = Path(path)
    refuse_other_formats(path)
    content = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = _figure(bench)
        kind = path.suffix.lower().removeprefix(".")
        metadata: dict[str, Any] = {"Title": "Roofline of a training step"}
        if kind == "svg":
            metadata["Date"] = None
        figure.savefig(content, format=kind, dpi=DOTS, metadata=metadata, facecolor=PAPER)
    write_atomically(path, content.getvalue())


def refuse_other_formats(path: Path) -> None:
    """Raise UsageError unless the name ends in .svg or .png."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"a roofline is an SVG or a PNG, not {path.name}",
            path="picture",
            hint="end its name with .svg or .png",
        )


def _figure(bench: Bench) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER)
    low, high = _intensities(bench)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=_rates(bench))
    axes.set_xlabel("floating-point operations for each byte that must be read or written")
    axes.set_ylabel("floating-point operations a second")
    for axis, label in ((axes.xaxis, _number), (axes.yaxis, _rate)):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _, label=label: label(value)))
    axes.grid(True, color=FAINT, linewidth=0.5, alpha=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_title(bench), loc="left", fontsize=10.5)
    _draw_traffic(axes, bench, low, high)
    _draw_layers(axes, bench.layers)
    _draw_phases(axes, bench)
    figure.legend(
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=8.5,
        title=_reading_aid(bench),
        title_fontsize=8.5,
    )
    figure.draw_without_rendering()  # now the slope has its angle on the page
    _draw_roofs(axes, bench, low, high)
    return figure


def _title(bench: Bench) -> str:
    height, width, channels = bench.input
    share = bench.flop_rate / bench.ceiling
    return (
        f"A training step of {bench.batch:,} images of {height}x{width}x{channels} in "
        f"{bench.precision}: {_rate(bench.flop_rate)}FLOP/s, {share:.0%} of the ceiling\n"
        f"{bench.processor}, {_threads(bench)}, PyTorch {bench.torch}"
    )


def _threads(bench: Bench) -> str:
    count = bench.step_threads
    return f"{count} thread{'s' * (count != 1)}"


def _draw_roofs(axes: Axes, bench: Bench, low: float, high: float) -> None:
    """The copy's slope and the products' levels; the step's own precision is the roof."""
    slope = bench.ceilings.copy_bytes
    for precision in ("fp32", "bf16"):
        level = bench.ceilings.flop(precision)
        corner = level / slope
        own = precision == bench.precision
        axes.plot(
            [min(low, corner), corner, high],
            [slope * min(low, corner), level, level],
            color=INK if own else SOFT,
            linewidth=1.8 if own else 0.9,
            linestyle="-" if own else (0, (4, 3)),
            zorder=2,
        )
        axes.annotate(
            f"{precision} product {_rate(level)}FLOP/s",
            (high, level),
            xytext=(-3, 4),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=INK if own else SOFT,
        )
    _name_slope(axes, f"copy {slope / 1e9:.3g} GB/s", slope, low)


def _draw_traffic(axes: Axes, bench: Bench, low: float, high: float) -> None:
    """What does no products has no place on the chart: its bytes a second are a slope."""
    for phase in bench.phases:
        if phase.name in LINES and phase.byte_rate:
            style, colour = LINES[phase.name]
            rate = phase.byte_rate
            share = phase.seconds / bench.seconds
            label = f"{phase.name}: {rate / 1e9:.3g} GB/s, {share:.1%} of the step"
            end = min(high, bench.ceiling / rate)
            axes.plot(
                [low, end], [low * rate, end * rate], style, color=colour, lw=1.1, label=label
            )


def _draw_layers(axes: Axes, layers: Sequence[LayerPhase]) -> None:
    for name, (marker, colour) in MARKS.items():
        phases = [part.phase for part in layers if part.phase.name == name]
        axes.scatter(
            [phase.intensity for phase in phases],
            [phase.flop_rate for phase in phases],
            s=24,
            marker=marker,
            color=colour,
            alpha=0.55,
            linewidths=0,
            zorder=4,
        )
    names = {part.layer for part in layers}
    if len(names) <= MOST_NAMES:
        for names_together, x, y in _names(layers):
            axes.annotate(
                names_together,
                (x, y),
                xytext=(x, NAMES_FOOT),
                textcoords=("data", "axes fraction"),
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkB": 4},
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=SOFT,
                rotation=90,
            )


def _names(layers: Iterable[LayerPhase]) -> list[tuple[str, float, float]]:
    """The layers' names, and their lowest marks; one name for those at one place."""
    lowest: dict[str, float] = defaultdict(lambda: math.inf)
    places: dict[str, float] = {}
    for part in layers:
        lowest[part.layer] = min(lowest[part.layer], part.phase.flop_rate)
        places[part.layer] = part.phase.intensity
    groups: list[list[str]] = []
    for name in sorted(places, key=places.__getitem__):
        if groups and places[name] < NEAR * places[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    order = list(places)
    return [
        (
            _listed(sorted(group, key=order.index)),
            places[group[0]],
            min(lowest[name] for name in group),
        )
        for group in groups
    ]


def _listed(names: list[str]) -> str:
    if len(names) <= MOST_TOGETHER:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _draw_phases(axes: Axes, bench: Bench) -> None:
    for phase in bench.phases:
        if phase.name in MARKS and phase.flop:
            marker, colour = MARKS[phase.name]
            label = (
                f"{phase.name}: {_rate(phase.flop_rate)}FLOP/s, "
                f"{phase.seconds / bench.seconds:.1%} of the step"
            )
            _draw_whole(axes, phase, marker, colour, label)
    label = f"the whole step: {_rate(bench.flop_rate)}FLOP/s"
    _draw_whole(axes, bench.step, "*", INK, label)


def _draw_whole(axes: Axes, phase: Phase, marker: str, colour: str, label: str) -> None:
    axes.scatter(
        [phase.intensity],
        [phase.flop_rate],
        s=190 if marker == "*" else 95,
        marker=marker,
        color=colour,
        edgecolors=PAPER,
        linewidths=1.2,
        zorder=5,
        label=label,
    )


def _name_slope(axes: Axes, name: str, slope: float, low: float) -> None:
    """Write along the copy's slope, at its lower end."""
    (left, bottom), (right, top) = axes.transData.transform([(low, low), (2 * low, 2 * low)])
    axes.annotate(
        name,
        (low, low * slope),
        xytext=(0, 8),
        textcoords="offset points",
        fontsize=8.5,
        rotation=math.degrees(math.atan2(top - bottom, right - left)),
        rotation_mode="anchor",
    )


def _intensities(bench: Bench) -> tuple[float, float]:
    """The ends of the axis, around all points and the corners of the roofs."""
    found = [part.phase.intensity for part in bench.layers]
    corner = max(bench.ceilings.fp32_flop, bench.ceilings.bf16_flop) / bench.ceilings.copy_bytes
    return min([*found, corner]) / 3, max([*found, corner]) * 3


def _reading_aid(bench: Bench) -> str:
    small = "small marks: single layers"
    above = bench.flop_rate > bench.ceiling
    return (
        f"{small}; above the roof: done with fewer products than the definition's"
        if above
        else small
    )


def _rates(bench: Bench) -> tuple[float, float]:
    """The ends of the other axis, with room for the names below the points."""
    found = [bench.flop_rate, *(part.phase.flop_rate for part in bench.layers)]
    roofs = bench.ceilings.fp32_flop, bench.ceilings.bf16_flop
    return min(found) / 4, 1.8 * max(*found, *roofs)


def _number(value: float) -> str:
    return f"{value:,g}"


def _rate(value: float) -> str:
    """A rate with its prefix: 480 G."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
