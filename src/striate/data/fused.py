"""Batches by the compiled gather: all that `striate.data.augment` does to pixels in one pass.

The draws are those of `striate.data.augment`, and so are the results: to the last bit, in fp32 and
in bf16; to rounding, where images are cropped or turned, and so sampled between their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from striate.data.augment import (
    Augmentation,
    blanked_corners,
    colour_maps,
    mirrored,
    shifts,
    warp_matrices,
)
from striate.data.memory import Reader
from striate.data.normalise import standard_scale, to_tensor
from striate.data.pixels import LUMA
from striate.data.random import Draws
from striate.kernels import Colours, Moves, Scaling, Squares, can_gather, gather_images


def can_fuse_batches(augment: Augmentation, *, channels: int, device: torch.device) -> bool:
    """Whether the compiled gather does all that is asked for."""
    return device.type == "cpu" and can_gather(
        channels=channels, plain=not (augment.warps or augment.colours)
    )


class FusedGather:
    """Gathers, augments and normalises batches in one pass over their pixels.

    Args:
        reader: Of the images.
        augment: What is done to the images.
        mean: C numbers on the 0..1 scale.
        std: C numbers on the 0..1 scale.
        dtype: fp32 or bf16.
    """

    def __init__(
        self,
        reader: Reader,
        augment: Augmentation,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype,
    ) -> None:
        self._reader = reader
        self._augment = augment
        self._dtype = dtype
        self._scaling = _scaling(augment, mean, std, dtype)

    def gather(self, draws: Draws) -> Tensor:
        """Make a batch: (B, C, H, W) in channels_last memory."""
        result = torch.empty((len(draws.index), *self._reader.images.shape[1:]), dtype=self._dtype)
        start = 0
        for part in self._reader.portions(draws.index):
            self._fill(result[start : start + len(part)], replace(draws, index=part))
            start += len(part)
        return result.permute(0, 3, 1, 2)

    def _fill(self, result: Tensor, draws: Draws) -> None:
        augment, size = self._augment, (result.shape[1], result.shape[2])
        moves = warps = colours = squares = None
        if augment.moves:
            moves = Moves(*shifts(augment, draws), mirrored(augment, draws))
        if augment.warps:
            warps = warp_matrices(augment, draws, size).astype(np.float32)
        if augment.colours:
            maps = colour_maps(augment, draws, channels=result.shape[3])
            colours = Colours(*(values.astype(np.float32) for values in maps))
        if augment.cutout > 0:
            squares = Squares(*blanked_corners(augment, draws, size), augment.cutout)
        gather_images(
            self._reader.images,
            draws.index,
            result,
            self._scaling,
            moves=moves,
            warps=warps,
            colours=colours,
            squares=squares,
        )


def _scaling(
    augment: Augmentation, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype
) -> Scaling:
    channels = len(mean)
    levels = torch.arange(256, dtype=torch.uint8)[:, None].expand(1, 1, 256, channels)
    if augment.colours:
        table = to_tensor(levels, (0.0,) * channels, (1.0,) * channels)
    else:
        table = to_tensor(levels, mean, std, dtype=dtype)
    scale, shift = standard_scale(mean, std)
    return Scaling(
        table=table[0, :, 0].contiguous(),
        scale=scale.numpy(),
        shift=shift.numpy(),
        weights=np.array(LUMA if channels == 3 else (1.0,), np.float32),
    )
