"""What is done to a training image each time it is seen, a whole batch at a time.

In this order: mirror and translate while the pixels are gathered from the uint8 images; crop and
turn in one bilinear sampling; colour, on the 0..1 scale; normalise; cutout, a square set to the
mean, which is 0 after normalising.

Every draw for image i in epoch e depends on (seed, e, i) alone: see `striate.data.random`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from striate.data.normalise import standardise, to_tensor
from striate.data.pixels import LUMA, blank, gather, mean_luma, recolour, reflect, warp
from striate.data.random import Draws, Stream
from striate.data.resident import send

ASPECTS = (3 / 4, 4 / 3)  # width over height of a random crop, relative to the image's own

# The YIQ colour axes: brightness, and two in which a turn changes the hue and nothing else.
_TO_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


class Augmentation(BaseModel):
    """What to do; nothing where nothing is said.

    A recipe's `augment` section has the same fields, but for a `flip` that may still be open.

    Attributes:
        flip: Mirror never, each time by chance, or every second epoch ("alternating").
        translate: The largest shift in pixels, each way; the border is filled by reflection.
        crop: The smallest share of the area that a random crop keeps; 1 for none.
        rotate: The largest turn in degrees, each way; corners are filled by reflection.
        brightness: The largest relative change of all colours.
        contrast: The largest relative change of the distance to the image's mean brightness.
        saturation: The largest relative change of the distance to grey.
        hue: The largest turn of the hue, each way, as a share of the full circle.
        cutout: The side of the blanked square in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flip: Literal["none", "random", "alternating"] = "none"
    translate: Annotated[int, Field(ge=0)] = 0
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    cutout: Annotated[int, Field(ge=0)] = 0

    @property
    def moves(self) -> bool:
        """Whether whole pixels change place."""
        return self.flip != "none" or self.translate > 0

    @property
    def warps(self) -> bool:
        """Whether images are sampled between pixels."""
        return self.crop < 1 or self.rotate > 0

    @property
    def colours(self) -> bool:
        """Whether colours change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0


def gather_augmented(
    images: NDArray[np.uint8], augment: Augmentation, draws: Draws
) -> NDArray[np.uint8]:
    """Gather a batch from uint8 (N, H, W, C), mirrored and translated: uint8 (B, H, W, C)."""
    return gather(images, draws.index, *source_places(augment, draws, images.shape[1:3]))


def augment_tensor(
    images: Tensor,
    augment: Augmentation,
    draws: Draws,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Crop, turn, recolour, normalise and cut out, on the device where the images lie.

    Args:
        images: uint8 (B, H, W, C), as `gather_augmented` returns them.
        augment: What to do.
        draws: The draws that `gather_augmented` was given.
        mean: C numbers on the 0..1 scale.
        std: C numbers on the 0..1 scale.

    Returns:
        fp32 (B, C, H, W) in channels_last memory.
    """
    size = (images.shape[1], images.shape[2])
    as_they_are = (0.0,) * len(mean), (1.0,) * len(mean)
    result = to_tensor(images, *(as_they_are if augment.colours else (mean, std)))
    if augment.warps:
        result = warp(result, _tensor(warp_matrices(augment, draws, size), images.device))
    if augment.colours:
        matrices, shares = colour_maps(augment, draws, channels=len(mean))
        offsets = _tensor(shares, images.device) * mean_luma(images)
        result = recolour(result, _tensor(matrices, images.device), offsets)
        result = standardise(result, mean, std)
    if augment.cutout > 0:
        corners = blanked_corners(augment, draws, size)
        top, left = (send(torch.from_numpy(corner), images.device) for corner in corners)
        result = blank(result, top, left, augment.cutout)
    return result.contiguous(memory_format=torch.channels_last)


def mirrored(augment: Augmentation, draws: Draws) -> NDArray[np.bool_]:
    """Decide which images are mirrored: bool (B,)."""
    if augment.flip == "alternating":
        return draws.alternating(Stream.FLIP)
    if augment.flip == "random":
        return draws.between(Stream.FLIP, 0, 1) < 0.5
    return np.zeros(draws.index.shape, dtype=np.bool_)


def shifts(augment: Augmentation, draws: Draws) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw how far below and to the right of a pixel its source lies: int64 (B,) each."""
    t = augment.translate
    down = draws.integers(Stream.SHIFT_ROWS, -t, t)
    return down, draws.integers(Stream.SHIFT_COLUMNS, -t, t)


def source_places(
    augment: Augmentation, draws: Draws, size: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[()]:
    """Say from which row and column each pixel comes: int64 (B, H) and (B, W); () for its own."""
    if not augment.moves:
        return ()
    h, w = size
    down, right = shifts(augment, draws)
    rows = reflect(np.arange(h) + down[:, None], h)
    columns = reflect(np.arange(w) + right[:, None], w)
    return rows, np.where(mirrored(augment, draws)[:, None], w - 1 - columns, columns)


def warp_matrices(
    augment: Augmentation, draws: Draws, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Draw crops and turns: float64 (B, 2, 3) as `striate.data.pixels.warp` takes them.

    A crop keeps a share of the area, uniform from `crop` to 1, at an aspect log-uniform in
    `ASPECTS` (cut down where it would leave the image); then all is turned about the centre.
    """
    h, w = size
    scales, centres = _crop_boxes(augment, draws)  # (B, 2) each, x before y
    angle = np.radians(draws.between(Stream.ROTATE, -augment.rotate, augment.rotate))
    cosine, sine = np.cos(angle), np.sin(angle)
    # A turn is one of pixels, not of the -1..1 axes, which have other units where H and W differ.
    turn = np.stack([cosine, -sine * h / w, sine * w / h, cosine], axis=1).reshape(-1, 2, 2)
    moved = (turn * centres[:, None, :]).sum(axis=2, keepdims=True)
    return np.concatenate([turn * scales[:, None, :], moved], axis=2)


def _crop_boxes(
    augment: Augmentation, draws: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the width and height of each crop (1 is all) and its centre (-1..1): (B, 2) each."""
    if augment.crop == 1:
        return np.ones((len(draws.index), 2)), np.zeros((len(draws.index), 2))
    area = draws.between(Stream.CROP_AREA, augment.crop, 1)
    aspect = np.exp(draws.between(Stream.CROP_ASPECT, *np.log(ASPECTS)))
    scales = np.sqrt(np.stack([area * aspect, area / aspect], axis=1)).clip(max=1)
    places = [draws.between(stream, -1, 1) for stream in (Stream.CROP_COLUMN, Stream.CROP_ROW)]
    return scales, np.stack(places, axis=1) * (1 - scales)


def colour_maps(
    augment: Augmentation, draws: Draws, *, channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw changes of colour as linear maps: x -> matrix x + share * mean brightness of the image.

    Brightness multiplies; contrast blends with the mean brightness of the image before it is
    cropped; saturation blends with the pixel's own; hue turns the colour in the IQ plane of YIQ,
    which keeps the brightness. A grey image has no saturation and no hue to change.

    Returns:
        float64 (B, C, C) and (B,).
    """
    brightness = _factor(draws, Stream.BRIGHTNESS, augment.brightness)
    contrast = _factor(draws, Stream.CONTRAST, augment.contrast)
    gains, shares = brightness * contrast, brightness * (1 - contrast)
    if channels == 1:
        return gains[:, None, None], shares
    saturation = _factor(draws, Stream.SATURATION, augment.saturation)
    angle = 2 * math.pi * draws.between(Stream.HUE, -augment.hue, augment.hue)
    turn = np.zeros((len(gains), 3, 3))  # saturation is a scaling of the IQ plane, hue a turn of it
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(angle)
    turn[:, 2, 1] = saturation * np.sin(angle)
    turn[:, 1, 2] = -turn[:, 2, 1]
    return gains[:, None, None] * (_FROM_YIQ @ turn @ _TO_YIQ), shares


def blanked_corners(
    augment: Augmentation, draws: Draws, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the top and left of the blanked square, its centre anywhere in the image: (B,) each."""
    half = augment.cutout // 2
    row = draws.integers(Stream.CUTOUT_ROW, 0, size[0] - 1)
    column = draws.integers(Stream.CUTOUT_COLUMN, 0, size[1] - 1)
    return row - half, column - half


def _factor(draws: Draws, stream: Stream, change: float) -> NDArray[np.float64]:
    return draws.between(stream, 1 - change, 1 + change)


def _tensor(values: NDArray[np.float64], device: torch.device) -> Tensor:
    return send(torch.from_numpy(values.astype(np.float32)), device)
