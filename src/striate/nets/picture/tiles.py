"""Blocks laid out: from left to right, branches one above the other, in rows that fit a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from striate.nets.graph import Volume
from striate.nets.picture import svg
from striate.nets.picture.blocks import Block, Fork, Frame, Node

TALLEST = 76.0  # of the largest map, and of the longest row of values
DEEPEST = 40.0  # of the most channels
SLANT = 0.34  # of a side: how far it goes back
LONGEST_LINE = 16  # letters
MOST_LINES = 5
MOST_COPIES = 3  # that are drawn of a block
LONGEST_TITLE = 48

GAP = 26.0  # an arrow
LANE_GAP = 12.0
TURN = 16.0  # where a way splits or comes together
PAD = 12.0
HEADER = 20.0
RADIUS = 10.0
ROW_GAP = 30.0


@dataclass(frozen=True)
class Tile:
    """Something laid out, around a line at height 0 on which arrows come and go.

    Attributes:
        width: From 0 to the right.
        above: How far it reaches up from the line.
        below: How far down.
        enter: Where on the line an arrow to it ends.
        leave: Where the arrow from it begins.
        marks: What is drawn.
        after: What is written over the arrow from it.
        head: Whether an arrow to it ends here: not where it splits.
    """

    width: float
    above: float
    below: float
    enter: float
    leave: float
    marks: str
    after: str = ""
    head: bool = True


class Ruler:
    """Lengths in pixels. Each goes with the root of what it stands for: 224 and 7 both show."""

    def __init__(self, volumes: Sequence[Volume]) -> None:
        maps = [volume for volume in volumes if not _single(volume)]
        self.side = max((side for v in maps for side in (v.height, v.width)), default=1)
        self.channels = max((v.channels for v in maps), default=1)
        self.values = max((v.channels for v in volumes if _single(v)), default=1)

    def box(self, volume: Volume) -> tuple[float, float, float]:
        """Depth, height and how far back: of a map, or of values in a row as a standing bar."""
        if _single(volume):
            return 8.0, max(8.0, TALLEST * math.sqrt(volume.channels / self.values)), 4.0
        height, back = (TALLEST * math.sqrt(n / self.side) for n in (volume.height, volume.width))
        depth = DEEPEST * math.sqrt(volume.channels / self.channels)
        return max(3.0, depth), max(5.0, height), SLANT * max(5.0, back)


def _single(volume: Volume) -> bool:
    return volume.height == volume.width == 1


def tile(node: Node, ruler: Ruler) -> Tile:
    """A node laid out."""
    match node:
        case Block():
            return _block(node, ruler)
        case Fork():
            return _fork(node, ruler)
        case Frame():
            return _frame(node, ruler)


def row(tiles: Sequence[Tile]) -> Tile:
    """Tiles one after the other, with arrows between them."""
    marks: list[str] = []
    x, start, gap = 0.0, 0.0, 0.0
    for before, one in zip([None, *tiles], tiles, strict=False):
        if before is not None:
            gap = _gap(before)
            start = x + before.leave
            x += before.width + gap
        marks.append(svg.moved(x, 0, one.marks))
        if before is not None:  # over the frames
            marks.append(svg.line([(start, 0), (x + one.enter, 0)], arrow=one.head))
            marks.append(svg.text(x - gap / 2 - 3, -6, before.after, "volume"))
    first, last = tiles[0], tiles[-1]
    return Tile(
        width=x + last.width,
        above=max(one.above for one in tiles),
        below=max(one.below for one in tiles),
        enter=first.enter,
        leave=x + last.leave,
        marks="".join(marks),
        after=last.after,
        head=first.head,
    )


def _gap(before: Tile) -> float:
    return max(GAP, svg.text_width(before.after, svg.SMALL_SIZE) + 14) if before.after else GAP


def rows(tiles: Sequence[Tile], width: float) -> Tile:
    """Tiles in as many rows as it takes, each row's end tied to the next one's start.

    The rows are about as long as each other.
    """
    count = len(_broken(tiles, width))
    short, long = 0.0, width
    while long - short > 1:
        middle = (short + long) / 2
        short, long = (short, middle) if len(_broken(tiles, middle)) == count else (middle, long)
    laid = [row(one) for one in _broken(tiles, long)]
    return _stacked(laid, max(one.width for one in laid))


def _broken(tiles: Sequence[Tile], width: float) -> list[list[Tile]]:
    """Rows of this width; a tile that is wider has one of its own."""
    lines: list[list[Tile]] = [[]]
    used = 0.0
    for one in tiles:
        needed = one.width + (_gap(lines[-1][-1]) if lines[-1] else 0)
        if lines[-1] and used + needed > width:
            lines.append([])
            used, needed = 0.0, one.width
        lines[-1].append(one)
        used += needed
    return lines


def _stacked(laid: list[Tile], width: float) -> Tile:
    right, left = width + 14, -14.0
    marks: list[str] = []
    ties: list[str] = []
    y = 0.0
    for number, one in enumerate(laid):
        marks.append(svg.moved(0, y, one.marks))
        if number + 1 < len(laid):
            turn = y + one.below + ROW_GAP / 2
            after = turn + ROW_GAP / 2 + laid[number + 1].above
            below = laid[number + 1]
            points = [(one.leave, y), (right, y), (right, turn), (left, turn), (left, after)]
            ties.append(svg.line([*points, (below.enter, after)], arrow=below.head))
            ties.append(svg.text(right - 12, turn - 5, one.after, "volume", "end"))
            y = after
    first = laid[0]
    return Tile(right - left, first.above, y + laid[-1].below, 0, right, "".join(marks + ties))


def _block(block: Block, ruler: Ruler) -> Tile:
    depth, height, back = ruler.box(block.volume)
    copies = min(block.count, MOST_COPIES)
    step = depth + 3
    drawn = step * (copies - 1) + depth + back
    words = [*_lines(block.before), *_lines((block.word,)), *_lines(block.after)]
    times = f"x{block.count}" if block.count > 1 else ""
    volume = str(block.volume)
    widest = max(svg.text_width(word, svg.LABEL_SIZE) for word in (*words, times))
    width = max(drawn, widest, svg.text_width(volume, svg.SMALL_SIZE))
    left, half = (width - drawn) / 2, (height + back) / 2
    marks = [
        svg.cuboid(left + i * step, half, kind=block.kind, depth=depth, height=height, back=back)
        for i in range(copies)
    ]
    marks.append(svg.text(width / 2, -half - 6, volume, "volume"))
    marks += _written(width / 2, half, words, times)
    count = len(words) + bool(times)
    # Arrows come to its outline at half its height, which may be where the outline slants.
    return Tile(
        width=width,
        above=half + 8 + svg.SMALL_SIZE,
        below=half + 4 + 14 * count,
        enter=left + max(0.0, half - height) - 2,
        leave=left + drawn - back + min(back, half) + 2,
        marks="".join(marks),
    )


def _written(x: float, y: float, words: Sequence[str], times: str) -> list[str]:
    """Words under y, and how often they come."""
    marks = [svg.text(x, y + 15 + 14 * i, word, "word") for i, word in enumerate(words)]
    if times:
        marks.append(svg.text(x, y + 15 + 14 * len(words), times, "times"))
    return marks


def _lines(words: Sequence[str]) -> list[str]:
    """Words in lines that are not too long, nor too many."""
    lines: list[str] = []
    for word in filter(None, words):
        if lines and len(lines[-1]) + 1 + len(word) <= LONGEST_LINE:
            lines[-1] += " " + word
        else:
            lines.append(word)
    if len(lines) <= MOST_LINES:
        return lines
    kept = lines[: MOST_LINES - 1]
    return [*kept, f"and {len(words) - sum(len(line.split()) for line in kept):,} more"]


def _frame(frame: Frame, ruler: Ruler) -> Tile:
    inner = row([tile(node, ruler) for node in frame.body])
    times = f"x{frame.count}" if frame.count > 1 else ""
    title = frame.title
    title = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 3] + "..."
    header = svg.text_width(f"{title}  {times}", svg.TITLE_SIZE) + 2 * PAD
    width = max(inner.width + 2 * PAD, header)
    left = (width - inner.width) / 2
    above, below = inner.above + PAD + HEADER, inner.below + PAD
    cards = range(min(frame.count, MOST_COPIES) - 1, -1, -1)
    marks = [svg.panel(4 * i, -above - 4 * i, width, above + below) for i in cards]
    marks.append(svg.text(PAD, -above + 17, title, "title", "start"))
    marks.append(svg.text(width - PAD, -above + 17, times, "times", "end"))
    marks.append(svg.moved(left, 0, inner.marks))
    behind = 4 * (min(frame.count, MOST_COPIES) - 1)
    grown = frame.volume != frame.body[-1].volume
    return Tile(
        width=width + behind,
        above=above + behind,
        below=below,
        enter=left + inner.enter,
        leave=left + inner.leave,
        marks="".join(marks),
        after=str(frame.volume) if grown else inner.after,
        head=inner.head,
    )


def _fork(fork: Fork, ruler: Ruler) -> Tile:
    lanes = [row([tile(node, ruler) for node in branch]) for branch in fork.branches if branch]
    skips = len(fork.branches) - len(lanes)
    heights = _heights(lanes, skips)
    laid = list(zip(lanes, heights[skips:], strict=True))
    width = max(map(_with_label, lanes), default=2 * GAP)
    joined = _joined(fork, ruler)
    merge = TURN + 10 + width + 10
    x = merge + TURN
    marks = [
        *(_skip(y, merge) for y in heights[:skips]),
        *(_lane(lane, y, merge) for lane, y in laid),
        svg.line([(merge + TURN / 2, 0), (x + joined.enter, 0)], arrow=True),
        svg.moved(x, 0, joined.marks),
    ]
    return Tile(
        width=x + joined.width,
        above=max([joined.above, 6 - heights[0], *(lane.above - y for lane, y in laid)]),
        below=max([joined.below, *(lane.below + y for lane, y in laid)]),
        enter=0,
        leave=x + joined.leave,
        marks="".join(marks),
        head=False,
    )


def _with_label(lane: Tile) -> float:
    return lane.width + (_gap(lane) if lane.after else 0)


def _skip(y: float, merge: float) -> str:
    """The way of a branch that does nothing."""
    split = TURN / 2
    return svg.line([(0, 0), (split, 0), (split, y), (merge, y), (merge, 0), (merge + TURN, 0)])


def _lane(lane: Tile, y: float, merge: float) -> str:
    """A branch in the middle of the room between the split and the merge, and its ways."""
    split, wide = TURN / 2, _with_label(lane)
    x = (TURN + merge - wide) / 2
    into = [(0.0, 0.0), (split, 0.0), (split, y), (x + lane.enter, y)]
    out = [(x + lane.leave, y), (merge, y), (merge, 0.0), (merge + TURN, 0.0)]
    label = svg.text(x + (lane.width + wide) / 2, y - 6, lane.after, "volume")
    return "".join(
        [svg.moved(x, y, lane.marks), svg.line(into, arrow=lane.head), svg.line(out), label]
    )


def _heights(lanes: list[Tile], skips: int) -> list[float]:
    """How far below the line each branch runs: first those that do nothing, on top.

    The line goes straight through a single branch, and through the middle of several.
    """
    places: list[float] = []
    y = 0.0
    for number, lane in enumerate(lanes):
        y += lane.above if number else 0.0
        places.append(y)
        y += lane.below + LANE_GAP
    middle = (places[0] + places[-1]) / 2 if len(lanes) > 2 else 0.0
    places = [place - middle for place in places]
    top = places[0] - lanes[0].above if lanes else 0.0
    return [*(top - 10 - 12 * i for i in reversed(range(skips))), *places]


def _joined(fork: Fork, ruler: Ruler) -> Tile:
    if fork.join == "concat":
        return _block(Block("concat", "other", fork.volume, after=fork.after), ruler)
    words, volume = _lines(fork.after), str(fork.volume)
    widths = [svg.text_width(word, svg.LABEL_SIZE) for word in words]
    width = max(2 * RADIUS, svg.text_width(volume, svg.SMALL_SIZE), *widths, 0)
    marks = [svg.plus(width / 2, 0, RADIUS), svg.text(width / 2, -RADIUS - 6, volume, "volume")]
    marks += _written(width / 2, RADIUS, words, "")
    return Tile(
        width=width,
        above=RADIUS + 8 + svg.SMALL_SIZE,
        below=RADIUS + 4 + 14 * len(words),
        enter=width / 2 - RADIUS - 1,
        leave=width / 2 + RADIUS + 1,
        marks="".join(marks),
    )
