"""The first layer's filters as pictures: what the net looks for in the raw image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from striate.nets import Whiten
from striate.report.thumbnails import encode_png
from striate.report.wording import by

MOST_FILTERS = 128
SHOWN_SIDE = 56  # pixels on the page
MIDDLE_GREY = 0.5
SHOWS_STRIPES = 5  # pixels; smaller kernels have no room for a stripe beside its ground


@dataclass(frozen=True)
class Filters:
    """Pictures of filters, with a sentence on what they are; `side` is in pixels of the page."""

    layer: str
    explanation: str
    pictures: tuple[str, ...]
    total: int
    side: int


def first_filters(module: torch.nn.Module, size: tuple[int, int, int]) -> Filters | None:
    """The filters of the first layer that has any on the image itself, or None.

    Args:
        module: The net.
        size: Height, width, channels of its input.
    """
    for name, layer in module.named_modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, torch.Tensor) or next(layer.children(), None) is not None:
            continue
        shape = _shape(weight, size)
        if shape is None:
            return None
        values = weight.detach().float().cpu().reshape(shape).numpy()
        return Filters(
            layer=name.removeprefix("layers."),
            explanation=_explain(layer, shape),
            pictures=tuple(
                filter_picture(values[at]) for at in range(min(len(values), MOST_FILTERS))
            ),
            total=len(values),
            side=max(1, SHOWN_SIDE // shape[3]) * shape[3],
        )
    return None


def _shape(weight: torch.Tensor, size: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """(K, C, F, F) of a convolution, or (K, C, H, W) of a fully connected layer on the image."""
    height, width, channels = size
    if weight.ndim == 4 and weight.shape[1] == channels:
        return (weight.shape[0], channels, weight.shape[2], weight.shape[3])
    if weight.ndim == 2 and weight.shape[1] == height * width * channels:
        return (weight.shape[0], channels, height, width)
    return None


def _explain(layer: torch.nn.Module, shape: tuple[int, int, int, int]) -> str:
    kernels, _, height, width = shape
    if isinstance(layer, Whiten):
        return (
            f"These {kernels} filters of {by((height, width))} pixels were not learned by gradient "
            "but computed from the training images. They whiten: each is a principal direction of "
            "the images' small patches, divided by how much the patches vary along it; the second "
            "half is the first with opposite sign. After them neighbouring pixels are no longer "
            "correlated, so the layers above learn faster. Smooth ones, edges and checks: they are "
            "bound to look this regular."
        )
    if layer.weight.ndim == 2:
        return (
            "The first layer is fully connected: each picture shows the weights of one unit, laid "
            "out as the image they multiply."
        )
    what = f"Each picture is one of the {kernels} kernels of {by((height, width))} pixels."
    if min(height, width) < SHOWS_STRIPES:
        return f"{what} So few pixels have room for edges, spots and colours, no more."
    return (
        f"{what} A net that has learned shows edges, colours and stripes here; pure noise means "
        "too little training or too little data."
    )


def filter_picture(weights: NDArray[np.float32]) -> str:
    """A filter as a PNG: grey is zero, its largest weight fully light or dark.

    Args:
        weights: (C, F, F), C 1 or 3; any other C is summed over.
    """
    largest = float(np.abs(weights).max())
    scaled = (
        MIDDLE_GREY + weights / (2 * largest) if largest > 0 else np.full_like(weights, MIDDLE_GREY)
    )
    pixels = np.round(scaled * 255).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return encode_png(Image.fromarray(np.ascontiguousarray(pixels)))
