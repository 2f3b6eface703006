"""Batches of training images: gathered, augmented and normalised a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment import Augmentation, augment_tensor, gather_augmented, source_places
from striate.data.fused import FusedGather, can_fuse_batches
from striate.data.memory import Reader
from striate.data.normalise import check_statistics
from striate.data.random import Draws, ordering
from striate.data.resident import ResidentImages, can_reside, send
from striate.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class Batch:
    """Images as a net takes them, and what they are.

    Args:
        images: (B, C, H, W) floating, in channels_last memory.
        labels: int64 (B,), on the same device.
        indices: int64 (B,) on the CPU: the images' places in the data.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True, eq=False)
class Batches:
    """The training images of any epoch, in batches, from any batch on.

    The order and the augmentation of image i in epoch e depend on (seed, e, i) alone: an epoch
    begun at batch k holds what the uninterrupted one holds from there, and `world` processes see
    together exactly the batches that one would.

    All batches of an epoch have `batch_size` images; the n mod `batch_size` images left over are
    others every epoch. Fewer images than `batch_size` make one batch of all of them.

    Args:
        images: uint8 (N, H, W, C), an array or a memory map.
        labels: int64 (N,).
        indices: int64 (n,), distinct: which images to use.
        batch_size: The images of a batch, over all processes.
        seed: The run's seed.
        mean: C numbers on the 0..1 scale.
        std: C numbers on the 0..1 scale.
        augment: What is done to the images each time they are seen.
        rank: Which slice of every batch this process sees, from 0 ...
        world: ... of how many; their sizes differ by at most one.
        device: Where the batches go. Pixels are worked on there; they travel as uint8, once where
            a GPU has room for all of them, else with every batch.
        dtype: The floating type of the images.
        kernels: Whether a compiled operator may do the work, where it can; the numbers are the
            same, but for rounding where images are cropped or turned.

    Raises:
        DataError: If the arrays do not fit each other.
        UsageError: If there are fewer images in a batch than processes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    _: KW_ONLY
    batch_size: int
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augmentation = field(default_factory=Augmentation)
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    kernels: bool = True
    _reader: Reader = field(init=False, repr=False)
    _resident: ResidentImages | None = field(init=False, repr=False)
    _gather: Callable[[Draws], Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_arrays()
        if not 0 <= self.rank < self.world <= self.together:
            raise UsageError(
                f"process {self.rank} of {self.world} gets nothing of {self.together} images",
                path="batch_size",
                hint="use larger batches or fewer processes",
            )
        # A memory map becomes the plain array over the same memory, which is quicker to index.
        object.__setattr__(self, "images", np.ascontiguousarray(self.images))
        object.__setattr__(self, "_reader", Reader(self.images))
        object.__setattr__(self, "_resident", self._send_once())
        object.__setattr__(self, "_gather", self._choose_gather())

    @property
    def steps(self) -> int:
        """The batches of an epoch."""
        return max(1, len(self.indices) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch in turn, from batch `start` on."""
        order = ordering(self.seed, epoch, self.indices)
        for step in range(start, self.steps):
            batch = self._make(Draws(self.seed, epoch, self._share(order, step)))
            if step + 1 < self.steps and self._resident is None:
                self._reader.expect(self._share(order, step + 1))
            yield batch

    def _share(self, order: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """This process's part of a batch."""
        together = order[step * self.together : (step + 1) * self.together]
        first, last = (len(together) * rank // self.world for rank in (self.rank, self.rank + 1))
        return together[first:last]

    @property
    def together(self) -> int:
        """The images of a batch, over all processes."""
        return min(self.batch_size, len(self.indices))

    def _make(self, draws: Draws) -> Batch:
        return Batch(
            images=self._gather(draws),
            labels=send(torch.from_numpy(self.labels[draws.index]), self.device),
            indices=torch.from_numpy(draws.index),
        )

    def _choose_gather(self) -> Callable[[Draws], Tensor]:
        """The compiled operator where it does all that is asked for, else PyTorch's, one by one."""
        channels = self.images.shape[3]
        if self.kernels and can_fuse_batches(self.augment, channels=channels, device=self.device):
            return FusedGather(
                self._reader, self.augment, mean=self.mean, std=self.std, dtype=self.dtype
            ).gather
        return self._gather_step_by_step

    def _gather_step_by_step(self, draws: Draws) -> Tensor:
        pixels = self._take_resident(draws) if self._resident else self._take_and_send(draws)
        images = augment_tensor(pixels, self.augment, draws, mean=self.mean, std=self.std)
        return images.to(self.dtype)

    def _send_once(self) -> ResidentImages | None:
        size = len(self.indices) * self.images[0].nbytes
        if not can_reside(self.device, size):
            return None
        return ResidentImages(self._reader, self.indices, self.device)

    def _take_resident(self, draws: Draws) -> Tensor:
        assert self._resident is not None
        places = source_places(self.augment, draws, self.images.shape[1:3])
        return self._resident.take(draws.index, *places)

    def _take_and_send(self, draws: Draws) -> Tensor:
        gathered = [
            gather_augmented(self.images, self.augment, replace(draws, index=part))
            for part in self._reader.portions(draws.index)
        ]
        whole = gathered[0] if len(gathered) == 1 else np.concatenate(gathered)
        return send(torch.from_numpy(whole), self.device)

    def _check_arrays(self) -> None:
        count = len(self.images)
        check_statistics(torch.from_numpy(self.images[:0].copy()), self.mean, self.std)
        if self.labels.shape != (count,):
            raise DataError(f"{count} images have labels of shape {self.labels.shape}")
        if self.indices.ndim != 1 or not len(self.indices):
            raise DataError("there are no images to make batches of")
        if self.indices.min() < 0 or self.indices.max() >= count:
            low, high = self.indices.min(), self.indices.max()
            raise DataError(f"indices {low} to {high} do not lie within {count} images")
        if self.batch_size < 1:
            raise UsageError(f"a batch of {self.batch_size} images is none", path="batch_size")
