"""Colour modes of images brought to 8-bit grey or RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GREY = frozenset({"1", "L", "LA", "La", "I", "F"})
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def is_grey(image: Image.Image) -> bool:
    """Whether a mode, or a palette, has no colours."""
    if image.mode in _GREY or image.mode.startswith("I;16"):
        return True
    if image.mode in ("P", "PA"):
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return False


def is_transparent(image: Image.Image) -> bool:
    """Whether some pixels may be seen through."""
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def flatten(image: Image.Image, channels: int, background: tuple[int, ...]) -> Image.Image:
    """Bring a decoded image to mode "L" or "RGB", transparent pixels laid on the background.

    One that is so already is returned as it is.

    16-bit grey is divided by 257; 32-bit and float pixels by the range that they use, see
    `_as_bytes`.

    Args:
        image: In any mode that Pillow decodes to.
        channels: 1 or 3.
        background: `channels` numbers in 0..255.

    Raises:
        ValueError: If pixels are not finite, or the mode has no way to RGB.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        levels = _as_bytes(np.asarray(image), image.mode)
        return Image.fromarray(levels).convert(mode)
    if is_transparent(image):
        colour = background * 3 if channels == 1 else background
        ground = Image.new("RGBA", image.size, (*colour, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert(mode)
    return image if image.mode == mode else image.convert(mode)


def _as_bytes(levels: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale grey levels to 0..255.

    16-bit: by the full range of 65535. 32-bit whole numbers without a stated range: as 16-bit if
    they fit in, else from their lowest to their highest. Floats: as they are in 0..255 or 0..1,
    else likewise.
    """
    values = levels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise ValueError("its pixels are not finite")
    full = 65535.0 if mode.startswith("I") else (1.0 if high <= 1 else 255.0)
    if low < 0 or high > full:
        values, full = values - low, high - low
    return np.rint(values * (255.0 / full)).astype(np.uint8)
