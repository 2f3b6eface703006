"""What the processes that train one net tell each other: sums, decisions, documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from striate.errors import StriateError
from striate.model.header import DTYPE_NAMES, DTYPES

CHUNK = 1 << 26  # bytes of images that are sent at once


class Team:
    """The processes that train one net, seen from one of them; process 0 leads.

    Each method is called by all processes at the same place, and returns the same to all of them.
    All raise the error of `silence` where another process is gone, or does not answer in time.

    Args:
        rank: The number of this process, from 0.
        world: The number of processes.
        silence: Makes the error to raise where another process does not answer.
    """

    def __init__(self, rank: int, world: int, silence: Callable[[], StriateError]) -> None:
        self.rank = rank
        self.world = world
        self._silence = silence

    @property
    def leads(self) -> bool:
        """Whether this process decides, speaks and writes for all."""
        return self.rank == 0

    @torch.no_grad()
    def combine(
        self, module: nn.Module, sums: tuple[Tensor, Tensor], *, share: float
    ) -> tuple[Tensor, Tensor]:
        """Make the gradients those of the mean loss over the whole batch.

        The running statistics of batch normalisation, which each process takes of its own part of
        the batch, become their mean over the processes: so the net is the same in all of them.

        Args:
            module: After the backward pass for this process's part; its gradients are replaced.
            sums: Two scalars, summed over the part.
            share: The share of the batch that the part is.

        Returns:
            The sums over the whole batch, floating.
        """
        parts = [p.grad for p in module.parameters() if p.grad is not None]
        parts += _running_statistics(module)
        flat = torch.cat([part.reshape(-1) for part in parts]) * share
        flat = torch.cat([flat, torch.stack([value.to(flat) for value in sums])])
        with self._answered():
            distributed.all_reduce(flat)
        *pieces, first, second = torch.split(flat, [*(part.numel() for part in parts), 1, 1])
        for part, piece in zip(parts, pieces, strict=True):
            part.copy_(piece.view(part.shape))
        return first[0], second[0]

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over the processes."""
        numbers = torch.tensor(values, dtype=torch.float64)
        with self._answered():
            distributed.all_reduce(numbers)
        return numbers.tolist()

    def from_leader(self, values: Sequence[float]) -> list[float]:
        """The leader's numbers."""
        # A sum, not a broadcast: the leader then also learns that the others are there.
        return self.total([value if self.leads else 0.0 for value in values])

    def broadcast(
        self, document: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The leader's document, of what JSON can hold, and its tensors, on the CPU.

        What the others give is not looked at.
        """
        if self.leads:
            specs = [[name, DTYPE_NAMES[t.dtype], list(t.shape)] for name, t in tensors.items()]
            text = json.dumps([document, specs], allow_nan=False).encode()
            content = torch.from_numpy(np.frombuffer(text, np.uint8).copy())
        (length,) = self.from_leader([len(content) if self.leads else 0])
        if not self.leads:
            content = torch.empty(int(length), dtype=torch.uint8)
        self._send(content)
        sent, specs = json.loads(content.numpy().tobytes())
        received = {}
        for name, dtype, shape in specs:
            if self.leads:
                received[name] = tensors[name].detach().cpu().contiguous()
            else:
                received[name] = torch.empty(shape, dtype=DTYPES[dtype])
            self._send(received[name])
        return sent, received

    def broadcast_images(self, images: NDArray[np.uint8]) -> None:
        """Fill all other processes' uint8 (N, H, W, C) with the leader's, a chunk at a time."""
        step = max(1, CHUNK // max(1, images[:1].nbytes))
        for start in range(0, len(images), step):
            chunk = images[start : start + step]
            content = torch.from_numpy(np.array(chunk))
            self._send(content)
            if not self.leads:
                chunk[:] = content.numpy()

    def dismiss(self, result: Mapping[str, Any]) -> None:
        """Let the others go, with the leader's result; it is no matter if one is gone already."""
        with suppress(StriateError):
            self.broadcast(result, {})

    def _send(self, tensor: Tensor) -> None:
        with self._answered():
            distributed.broadcast(tensor, src=0)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise self._silence() from error


def _running_statistics(module: nn.Module) -> list[Tensor]:
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    norms = [n for n in module.modules() if isinstance(n, kinds) and n.training]
    statistics = [(norm.running_mean, norm.running_var) for norm in norms]
    return [tensor for pair in statistics for tensor in pair if tensor is not None]
