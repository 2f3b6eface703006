"""Calls of the compiled operators on volumes: (N, C, H, W) in channels_last, fp32 or bf16."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from striate.kernels.library import load_library

ACTIVATIONS = ("identity", "relu", "gelu", "silu")  # in the order of native/activations.h


class _Norm(ctypes.Structure):
    """`StriateNorm` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "height", "width", "channels")),
        *((name, ctypes.c_int32) for name in ("half", "pool", "activation", "threads")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("x", "added", "pooled", "places", "sums", "totals", "centre", "scale", "shift"),
                *("y", "dy", "a", "b", "d", "dx", "dadded"),
            )
        ),
    )


def can_fuse(x: Tensor) -> bool:
    """Whether the operators take this volume."""
    return (
        load_library() is not None
        and x.device.type == "cpu"
        and x.dtype in {torch.float32, torch.bfloat16}
        and x.dim() == 4
        and x.numel() > 0
    )


class Job:
    """A call of the library, whose tensors it keeps alive."""

    def __init__(self, x: Tensor, pool: int, activation: int, **tensors: Tensor | None) -> None:
        images, channels, height, width = x.shape
        self.tensors: list[Tensor | None] = [x]
        self.job = _Norm(
            images=images, height=height, width=width, channels=channels,
            half=x.dtype == torch.bfloat16, pool=pool, activation=activation,
            threads=min(torch.get_num_threads(), images), x=x.data_ptr(),
        )  # fmt: skip
        self._set(tensors)

    def run(self, function: str, **tensors: Tensor | None) -> None:
        """Calls a function of the library, with more of the tensors of `StriateNorm`."""
        library = load_library()
        assert library is not None
        self._set(tensors)
        getattr(library, function)(ctypes.byref(self.job))

    def _set(self, tensors: dict[str, Tensor | None]) -> None:
        for name, tensor in tensors.items():
            self.tensors.append(tensor)
            setattr(self.job, name, None if tensor is None else tensor.data_ptr() or None)


def new_volume(shape: list[int], like: Tensor) -> Tensor:
    """Of a shape (N, C, H, W), not filled."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def in_order_of(values: Tensor, pattern: Tensor) -> Tensor:
    """The same values in the type of another volume, in channels_last."""
    return values.to(pattern.dtype).contiguous(memory_format=torch.channels_last)


def words(count: int) -> Tensor:
    """Work space of that many words of four bytes, not filled."""
    return torch.empty(count, dtype=torch.int32)


def work_space(x: Tensor) -> Tensor:
    """(N, 2, C) for the sums of each image."""
    return torch.empty(x.shape[0], 2, x.shape[1])
