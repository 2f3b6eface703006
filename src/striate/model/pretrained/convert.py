"""Weights of another shape that mean the same, and what they become."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from striate.model.pretrained.layers import NetLayer, Shape

LARGEST_MAP = 64  # positions on a side, of a map that fully connected weights look at

Conversion = Literal["none", "flatten", "pool", "grey"]


def conversion(wanted: NetLayer, part: str, shape: Shape) -> Conversion | None:
    """How a tensor of the file becomes that of a layer; None where it cannot.

    - "flatten": a convolution over the whole map is fully connected (timm's VGG).
    - "pool": fully connected weights for a map of another size. AlexNet and VGG average the map to
      the size that they were trained for, whatever the size of the image, and then apply them;
      both together are fully connected weights for the map that there is.
    - "grey": a first convolution that saw red, green and blue, for grey images: its weights are
      summed over the three.

    The number of a head's outputs is not looked at.

    Args:
        wanted: The layer of the net.
        part: "weight", "bias" ...
        shape: The tensor's in the file.
    """
    target = wanted.tensors[part]
    if wanted.is_head and len(shape) == len(target):
        target = (shape[0], *target[1:])
    if shape == target:
        return "none"
    if part != "weight" or not shape:
        return None
    if wanted.kind == "fully connected":
        return _for_the_map(wanted, shape)
    sees_colours = (target[0], 3, *target[2:]) if len(target) == 4 else None
    is_grey = wanted.place == 0 and wanted.input.channels == 1
    return "grey" if is_grey and shape == sees_colours else None


def _for_the_map(wanted: NetLayer, shape: Shape) -> Conversion | None:
    side = _map_of(wanted, shape)
    if side is None or (shape[0] != wanted.tensors["weight"][0] and not wanted.is_head):
        return None
    if wanted.averaged:
        return "flatten" if side == (1, 1) else None
    if side == (wanted.input.height, wanted.input.width):
        return "flatten"
    return "pool" if not wanted.input.flat and max(side) <= LARGEST_MAP else None


def _map_of(wanted: NetLayer, shape: Shape) -> tuple[int, int] | None:
    """The height and width of the map that fully connected weights were trained for."""
    channels = wanted.input.channels
    if len(shape) == 4 and shape[1] == channels:
        return shape[2], shape[3]
    if len(shape) == 2 and shape[1] and shape[1] % channels == 0:
        side = math.isqrt(shape[1] // channels)
        return (side, side) if side * side * channels == shape[1] else None
    return None


def convert(wanted: NetLayer, part: str, tensor: Tensor) -> Tensor:
    """A tensor of the file as a layer of the net takes it.

    Args:
        wanted: The layer of the net.
        part: "weight", "bias" ...
        tensor: Of a shape for which `conversion` is not None.
    """
    match conversion(wanted, part, tuple(tensor.shape)):
        case "flatten":
            return tensor.flatten(1)
        case "pool":
            return _pooled(wanted, tensor)
        case "grey":
            return tensor.sum(dim=1, keepdim=True)
        case _:
            return tensor


def _pooled(wanted: NetLayer, weight: Tensor) -> Tensor:
    """W P, where P averages the map that there is to the one that W was trained for.

    P comes from the pooling of each single position: (H W, H' W'), its transpose.
    """
    side = _map_of(wanted, tuple(weight.shape))
    assert side is not None
    height, width, channels = wanted.input.height, wanted.input.width, wanted.input.channels
    positions = torch.eye(height * width).view(-1, 1, height, width)
    pooling = adaptive_avg_pool2d(positions, side).flatten(1)
    over_map = weight.reshape(len(weight), channels, -1)  # (K, C, H' W')
    return (over_map @ pooling.T).flatten(1)  # (K, C H W)
