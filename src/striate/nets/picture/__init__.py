"""The picture of a net: an SVG with every volume as a box, branches side by side, repeats once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from striate.errors import NetError
from striate.nets.graph import Volume
from striate.nets.picture import svg
from striate.nets.picture.blocks import Block, Fork, Frame, Node, picture_blocks
from striate.nets.picture.tiles import Ruler, Tile, rows, tile
from striate.nets.shapes import Traced
from striate.nets.syntax import Text

__all__ = ["draw_picture"]

PAGE = 1100.0  # pixels that a row may take
MARGIN = 30.0
MOST_BLOCKS = 800
LARGEST_FILE = 500_000  # bytes


def draw_picture(text: Text, traced: Traced, caption: str) -> str:
    """The SVG of a net on an input.

    Args:
        text: The net's syntax, for the names of its definitions.
        traced: Its graph with all volumes.
        caption: A line of totals, written under the picture.

    Raises:
        NetError: If it has too many blocks for a picture.
    """
    image = Block("input", "input", traced.input)
    nodes = (image, *picture_blocks(text, traced.chain))
    everything = list(_inside(nodes))
    forks = (node.branches for node in everything if isinstance(node, Fork))
    count = len(everything) + sum(branches.count(()) for branches in forks)
    if count > MOST_BLOCKS:
        raise _too_large(f"{count:,} blocks and branches; the limit is {MOST_BLOCKS}")
    ruler = Ruler([node.volume for node in everything])
    drawn = _page([tile(node, ruler) for node in nodes], everything, caption, traced.input)
    if len(drawn.encode()) > LARGEST_FILE:
        raise _too_large(f"more than {LARGEST_FILE // 1000} KB")
    return drawn


def _inside(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes, those within others too."""
    for node in nodes:
        yield node
        if isinstance(node, Frame):
            yield from _inside(node.body)
        elif isinstance(node, Fork):
            for branch in node.branches:
                yield from _inside(branch)


def _too_large(what: str) -> NetError:
    return NetError(
        f"too large for a picture: {what}",
        hint="what is written alike and keeps its height and width is drawn once",
    )


def _page(tiles: list[Tile], nodes: Sequence[Node], caption: str, image: Volume) -> str:
    """The rows, and under them the colours and the caption."""
    laid = rows(tiles, PAGE)
    legend, legend_width = _legend(nodes)
    caption_width = svg.text_width(caption, svg.LEGEND_SIZE)  # a little too much: it is narrower
    width = max(laid.width, legend_width, caption_width) + 2 * MARGIN
    y = MARGIN + laid.above
    under = y + laid.below + 36
    marks = [
        svg.moved(MARGIN, y, laid.marks),
        svg.moved(MARGIN, under, legend),
        svg.text(MARGIN, under + 26, caption, "legend", "start"),
    ]
    size = (width, under + 26 + MARGIN)
    title = f"A net on images of {image}"
    return svg.document(size, "\n".join(marks), title=title, description=caption)


def _legend(nodes: Sequence[Node]) -> tuple[str, float]:
    used = {node.kind for node in nodes if isinstance(node, Block)}
    used |= {"other" for node in nodes if isinstance(node, Fork) and node.join == "concat"}
    marks, x = [], 0.0
    for kind, name in svg.KINDS.items():
        if kind in used:
            marks.append(svg.cuboid(x, 4, kind=kind, depth=9, height=9, back=4))
            marks.append(svg.text(x + 19, 4, name, "legend", "start"))
            x += 19 + svg.text_width(name, svg.LEGEND_SIZE) + 22
    return "".join(marks), x
