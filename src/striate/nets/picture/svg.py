"""The marks that a picture is made of, and the file around them. Sizes are in pixels."""

from __future__ import annotations

from html import escape

from striate.nets.picture.blocks import Kind

LABEL_SIZE = 12  # of the words of a layer; its letters all have the same width
SMALL_SIZE = 11  # of volumes
TITLE_SIZE = 12
LETTER = 0.605  # of the size: the width of a letter in the fonts of `_MONO`
LEGEND_SIZE = 12

KINDS: dict[Kind, str] = {
    "input": "image",
    "convolution": "convolution",
    "pooling": "pooling",
    "full": "fully connected",
    "upsampling": "upsampling",
    "other": "join and others",
}

_MONO = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace'
_SANS = '-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif'
# light and dark; the kinds differ in lightness too
_INK = {"paper": ("#fcfbf8", "#15161a"), "ink": ("#1d1c19", "#e9e6df"),
        "soft": ("#6a665d", "#a19c91"), "line": ("#8d887c", "#7d7a74"),
        "faint": ("#f3f0e8", "#1d1f24"), "border": ("#cfcabd", "#41444c")}  # fmt: skip
_FILL: dict[Kind, tuple[str, str]] = {
    "input": ("#e3ddcf", "#5b5a58"),
    "convolution": ("#7fa6dc", "#4d7fc4"),
    "pooling": ("#eda673", "#c9773c"),
    "full": ("#7dbb95", "#4a9468"),
    "upsampling": ("#b79ad6", "#8a68b0"),
    "other": ("#c9c4b8", "#6f6d69"),
}


def text(x: float, y: float, content: str, kind: str, anchor: str = "middle") -> str:
    """Text whose baseline is at y; `kind` is a class of the style."""
    if not content:
        return ""
    at = "" if anchor == "middle" else f' text-anchor="{anchor}"'
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}"{at}>{escape(content)}</text>'


def text_width(content: str, size: float) -> float:
    """Of text in which all letters have the same width."""
    return len(content) * size * LETTER


def cuboid(x: float, y: float, *, kind: Kind, depth: float, height: float, back: float) -> str:
    """A volume with its lower left front corner at x, y.

    Args:
        x: Left.
        y: Bottom.
        kind: What it is, for its colour.
        depth: Length to the right, for the channels.
        height: Length upwards, for the rows.
        back: Length to the upper right, for the columns.
    """
    front = f"M{_n(x)} {_n(y)}h{_n(depth)}v{_n(-height)}h{_n(-depth)}z"
    top = f"M{_n(x)} {_n(y - height)}l{_n(back)} {_n(-back)}h{_n(depth)}l{_n(-back)} {_n(back)}z"
    side = f"M{_n(x + depth)} {_n(y)}l{_n(back)} {_n(-back)}v{_n(-height)}l{_n(-back)} {_n(back)}z"
    return (
        f'<g class="{kind}"><path d="{front}"/><path class="top" d="{top}"/>'
        f'<path class="side" d="{side}"/></g>'
    )


def line(points: list[tuple[float, float]], *, arrow: bool = False) -> str:
    """A line through points, its corners rounded, with a head at its end if it is an `arrow`."""
    path = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before), _towards(corner, after)
        path.append(f"L{_p(start)}Q{_p(corner)} {_p(end)}")
    path.append(f"L{_p(points[-1])}")
    head = ' marker-end="url(#head)"' if arrow else ""
    return f'<path class="way" d="{"".join(path)}"{head}/>'


def _towards(corner: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """The point where a corner begins to be rounded."""
    across, down = end[0] - corner[0], end[1] - corner[1]
    length = abs(across) + abs(down)
    share = min(8.0, length / 2) / length if length else 0.0
    return corner[0] + across * share, corner[1] + down * share


def panel(x: float, y: float, width: float, height: float) -> str:
    """The frame of a definition or a repetition."""
    return (
        f'<rect class="panel" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        'rx="7"/>'
    )


def plus(x: float, y: float, radius: float) -> str:
    """The sign of a sum."""
    arm, across = radius / 2, _n(radius)
    sign = f"M{_n(x - arm)} {_n(y)}h{across}M{_n(x)} {_n(y - arm)}v{across}"
    circle = f'<circle class="sum" cx="{_n(x)}" cy="{_n(y)}" r="{across}"/>'
    return f'{circle}<path class="sign" d="{sign}"/>'


def moved(x: float, y: float, marks: str) -> str:
    """Marks elsewhere."""
    return f'<g transform="translate({_n(x)} {_n(y)})">{marks}</g>'


def document(size: tuple[float, float], marks: str, *, title: str, description: str) -> str:
    """The file: it stands alone, asks for nothing and runs nothing."""
    width, height = map(_n, size)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="striate-net" text-anchor="middle" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="title description">\n'
        f'<title id="title">{escape(title)}</title>\n'
        f'<desc id="description">{escape(description)}</desc>\n'
        f"<style>{_style()}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0 .5L8 4L0 7.5z"/></marker></defs>\n'
        f'<rect class="paper" width="{width}" height="{height}"/>\n{marks}\n</svg>\n'
    )


def _style() -> str:
    """Every rule holds inside the picture alone, also where its file is put into a page."""
    still = {
        ".word": f"font:500 {LABEL_SIZE}px {_MONO}",
        ".times": f"font:700 {LABEL_SIZE}px {_MONO}",
        ".volume": f"font:{SMALL_SIZE}px {_MONO}",
        ".title": f"font:600 {TITLE_SIZE}px {_MONO}",
        ".legend": f"font:{LEGEND_SIZE}px {_SANS}",
        ".way": "fill:none;stroke-width:1.4",
        ".panel": "stroke-width:1.2",
        ".sum": "stroke-width:1.2",
        ".sign": "stroke-width:1.8",
        "path": "stroke-linejoin:round",
    }
    return (
        f"{_rules(still)}{_rules(_colours(0))}"
        f"@media (prefers-color-scheme:dark){{{_rules(_colours(1))}}}"
    )


def _rules(rules: dict[str, str]) -> str:
    return "".join(f".striate-net {where}{{{what}}}" for where, what in rules.items())


def _colours(dark: int) -> dict[str, str]:
    ink = {name: pair[dark] for name, pair in _INK.items()}
    rules = {
        ".paper": f"fill:{ink['paper']}",
        ".panel": f"fill:{ink['faint']};stroke:{ink['border']}",
        ".sum": f"fill:{ink['paper']};stroke:{ink['line']}",
        ".head": f"fill:{ink['line']}",
        **dict.fromkeys((".way", ".sign"), f"stroke:{ink['line']}"),
        **dict.fromkeys((".word", ".times", ".title"), f"fill:{ink['ink']}"),
        **dict.fromkeys((".volume", ".legend"), f"fill:{ink['soft']}"),
    }
    for kind, pair in _FILL.items():
        fill = pair[dark]
        rules[f".{kind} path"] = f"fill:{fill};stroke:{ink['paper']};stroke-width:.8"
        rules[f".{kind} .top"] = f"fill:{_mixed(fill, '#ffffff', 0.35)}"
        rules[f".{kind} .side"] = f"fill:{_mixed(fill, '#000000', 0.22)}"
    return rules


def _mixed(colour: str, other: str, share: float) -> str:
    one, two = (bytes.fromhex(c[1:]) for c in (colour, other))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(one, two, strict=True))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _p(point: tuple[float, float]) -> str:
    return f"{_n(point[0])} {_n(point[1])}"
