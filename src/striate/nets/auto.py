"""The net for a set of images, when none is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from striate.nets.net import Net, parse_net

NORM = "bnw0m0.4"  # a shift but no scale; statistics that follow the last few batches


@dataclass(frozen=True)
class Rule:
    """A kind of image and the net it gets.

    Attributes:
        largest_side: The longer side of the images, in pixels, up to which the rule holds.
        channels: 1 for grey images, 3 for colour.
        widths: Kernels of each group; a group is two 3x3 convolutions and halves the map.
        kind: The images in words.
    """

    largest_side: int
    channels: int
    widths: tuple[int, ...]
    kind: str


# The first rule that fits is taken. Whitening takes one row and column, each group halves the map.
RULES = (
    Rule(12, 1, (32, 64), "tiny grey images"),
    Rule(12, 3, (32, 64), "tiny colour images"),
    Rule(23, 1, (32, 96), "very small grey images"),
    Rule(23, 3, (64, 256), "very small colour images"),
    Rule(48, 1, (32, 96, 96), "small grey images"),
    Rule(48, 3, (64, 256, 256), "small colour images"),
    Rule(80, 1, (32, 64, 128, 128), "grey images of medium size"),
    Rule(80, 3, (32, 64, 128, 256), "photographs at a small size"),
    Rule(160, 1, (16, 32, 64, 128, 128), "large grey images"),
    Rule(160, 3, (32, 64, 128, 256, 256), "photographs"),
    Rule(1_000_000, 1, (16, 32, 64, 64, 128, 128), "very large grey images"),
    Rule(1_000_000, 3, (32, 64, 96, 128, 256, 256), "large photographs"),
)
FEW_IMAGES = 2_000  # below this the widest groups are halved to 128: there is less to learn from
SMALLEST_MAP = 2  # rows or columns that pooling leaves


def auto_net(*, size: tuple[int, int], channels: int, classes: int, images: int) -> tuple[Net, str]:
    """The whitened net for a set of images, and one sentence of why.

    After a frozen whitening layer come groups of two convolutions that halve the map, then the
    largest value of what remains, and a linear head. The widths follow the kind of image (`RULES`).

    Args:
        size: Height and width, in pixels.
        channels: 1 or 3.
        classes: K.
        images: Training images.
    """
    side = max(size)
    rule = next(r for r in RULES if side <= r.largest_side and (r.channels == 3) == (channels >= 3))
    widths = tuple(min(width, 128) for width in rule.widths) if images < FEW_IMAGES else rule.widths
    text = _text(size, channels, widths, classes)
    few = f", narrower because there are only {images} of them" if widths != rule.widths else ""
    shown = f"{size[0]}x{size[1]}x{channels}"
    reason = (
        f"{rule.kind} ({shown}): the whitened net with groups of {_listed(widths)} kernels{few}"
    )
    return parse_net(text), reason


def _text(size: tuple[int, int], channels: int, widths: tuple[int, ...], classes: int) -> str:
    height, width = (max(1, side - 1) for side in size)
    kernel = "2" if min(size) > 1 else f"{min(2, size[0])}x{min(2, size[1])}"
    words = [f"input {size[0]}x{size[1]}x{channels}", f"whiten{kernel}", "gelu"]
    for kernels in widths:
        down, across = (2 if side // 2 >= SMALLEST_MAP else 1 for side in (height, width))
        height, width = height // down, width // across
        words.append(_group(kernels, down, across))
    if (height, width) != (1, 1):
        words.append(f"maxpool{height}x{width}")
    words += [f"fc-{classes}b0", f"scale1/{widths[-1]}"]
    return " ".join(words)


def _group(kernels: int, down: int, across: int) -> str:
    pool = "" if (down, across) == (1, 1) else f"maxpool{down}x{across} "
    return f"conv3-{kernels}b0 {pool}{NORM} gelu conv3-{kernels}b0 {NORM} gelu"


def _listed(widths: tuple[int, ...]) -> str:
    return ", ".join(map(str, widths[:-1])) + f" and {widths[-1]}"
