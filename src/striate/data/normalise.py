"""From uint8 pixels to the numbers a net sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.data.resident import send
from striate.errors import DataError

WHITE = 255.0


def to_tensor(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Scale uint8 images to (pixel / 255 - mean) / std, channel by channel.

    The arithmetic is fp32 and elementwise, on the device where `images` lies: an image becomes the
    same numbers whatever the batch around it and however many threads there are.

    Args:
        images: uint8 (N, H, W, C).
        mean: C numbers on the 0..1 scale.
        std: C positive numbers on the 0..1 scale.
        dtype: The floating type of the result, rounded to at the end.

    Returns:
        (N, C, H, W) of `dtype` in channels_last memory.

    Raises:
        DataError: If `images` is not uint8 (N, H, W, C), or `mean` and `std` are not C numbers.
    """
    check_statistics(images, mean, std)
    n, h, w, c = images.shape
    # A whole image row as the vector: loops over C = 3 numbers would be 20 times slower.
    scale = torch.tensor([1 / (WHITE * s) for s in std]).repeat(w)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).repeat(w)
    rows = images.reshape(n, h, w * c).to(torch.float32).mul_(send(scale, images.device))
    rows.add_(send(shift, images.device))
    return rows.to(dtype).view(n, h, w, c).permute(0, 3, 1, 2)


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale contiguous (N, C, H, W) images on the 0..1 scale to (x - mean) / std, in place."""
    scale, shift = (
        send(values, images.device)[:, None, None] for values in standard_scale(mean, std)
    )
    return images.mul_(scale).add_(shift)


def standard_scale(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """What to multiply by, and what to add then, for (x - mean) / std: fp32 (C,) each."""
    shift = [-m / s for m, s in zip(mean, std, strict=True)]
    return torch.tensor([1 / s for s in std]), torch.tensor(shift)


def check_statistics(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
    """Raise DataError unless images are uint8 (N, H, W, C), with C means and deviations > 0."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        shape = tuple(images.shape)
        raise DataError(f"images must be uint8 (N, H, W, C), not {images.dtype} {shape}")
    channels = images.shape[3]
    if len(mean) != channels or len(std) != channels or min(std, default=0.0) <= 0:
        raise DataError(
            f"mean {tuple(mean)} and std {tuple(std)} do not fit images of {channels} channels",
            hint="give one mean and one positive deviation a channel, on the 0..1 scale",
        )
