"""The mean and the deviation of each channel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.memory import release_pages

_LARGEST_SAMPLE = 1 << 29  # bytes of pixels: beyond, evenly spaced images stand for all
_CHUNK = 1 << 20  # bytes of pixels at a time
_SMALLEST_STD = 1 / 255  # a channel that never changes is not divided by zero


def channel_statistics(
    images: NDArray[np.uint8], indices: NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of each channel, on the scale of 0 to 1.

    Args:
        images: uint8 (N, H, W, C).
        indices: int64 (n,), the images that count; above 512 MB every second, third ... of them.

    Returns:
        C means and C standard deviations.
    """
    channels = images.shape[3]
    bytes_each = int(np.prod(images.shape[1:]))
    sample = indices[:: max(1, len(indices) * bytes_each // _LARGEST_SAMPLE)]
    step = max(1, _CHUNK // bytes_each)
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(sample), step):
        chunk = torch.from_numpy(images[sample[start : start + step]].reshape(-1, channels))
        for channel in range(channels):  # NumPy's would make eight bytes of each
            counts[channel] += torch.bincount(chunk[:, channel], minlength=256).numpy()
        release_pages(images)
    levels = np.arange(256) / 255
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mean = shares @ levels
    std = np.sqrt(np.maximum((shares * (levels - mean[:, None]) ** 2).sum(axis=1), 0))
    return tuple(mean.tolist()), tuple(np.maximum(std, _SMALLEST_STD).tolist())
