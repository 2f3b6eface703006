"""What the leader tells the other processes before they train: the plan and the images."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data import Data
from striate.training.setup import Plan
from striate.training.team import Team


def hand_over(team: Team, plan: Plan, data: Data) -> None:
    """Tell the others plan and data; where images are mapped from a file, so do the others."""
    document = {
        "plan": plan.to_json(),
        "name": data.name,
        "classes": data.classes,
        "names": list(data.names),
        "mirror": data.mirror,
        "resize": data.resize,
        "interpolation": data.interpolation,
        "background": data.background,
        "shape": data.images.shape,
        "file": _mapped_file(data.images),
    }
    arrays = {"labels": data.labels, "splits": data.splits, "contents": data.contents}
    team.broadcast(document, {name: torch.tensor(array) for name, array in arrays.items()})
    (missing,) = team.total([0.0])
    if missing:
        team.broadcast_images(data.images)


def take_over(team: Team) -> tuple[Plan, Data]:
    """What the leader gave to `hand_over`, but for the problems of the data and its root."""
    document, tensors = team.broadcast({}, {})
    images = _map_file(document["file"], document["shape"])
    (missing,) = team.total([0.0 if images is not None else 1.0])
    if missing or images is None:
        images = np.empty(document["shape"], np.uint8)
        team.broadcast_images(images)
    data = Data(
        name=document["name"],
        classes=tuple(document["classes"]),
        images=images,
        labels=tensors["labels"].numpy(),
        names=document["names"],
        splits=tensors["splits"].numpy(),
        contents=tensors["contents"].numpy(),
        mirror=document["mirror"],
        resize=document["resize"],
        interpolation=document["interpolation"],
        background=tuple(document["background"]),
    )
    return Plan.from_json(document["plan"]), data


def _mapped_file(images: NDArray[np.uint8]) -> list[Any] | None:
    """Path and offset, where the array is all of a mapped file that nobody writes to."""
    if not isinstance(images, np.memmap) or not isinstance(images.base, mmap.mmap):
        return None
    if images.filename is None or images.mode != "r" or not images.flags.c_contiguous:
        return None
    return [str(Path(images.filename).absolute()), images.offset]


def _map_file(file: list[Any] | None, shape: list[int]) -> NDArray[np.uint8] | None:
    if file is None or not Path(file[0]).is_file():
        return None
    return np.memmap(file[0], np.uint8, "r", offset=file[1], shape=tuple(shape))
