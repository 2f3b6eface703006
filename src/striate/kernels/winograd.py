"""Convolutions of 3x3 with stride 1 by minimal filtering: 36 products in the place of 144.

F(4x4, 3x3) of Winograd; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).
The way forward and both gradients are computed so. Transforms and sums are fp32. In bf16 the
transformed values are rounded too, and their differences taken: what comes out is off by about one
part in a hundred of what such results come to, five times the rounding of bf16 itself. No sum
depends on the count of threads.

A max pooling of 2x2 behind it is done as the results come, a tile of which holds four windows: the
whole volume, and its gradient, three quarters of which are 0, are never in memory.

The operators are `torch.ops.striate.winograd`, `winograd_back` and `winograd_weights`. Volumes are
(N, C, H, W), fp32 or bf16 on the CPU, in channels_last; weights and biases are fp32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from striate.kernels.library import load_library, multiplies_bf16, processor
from striate.kernels.operator import operator
from striate.kernels.volumes import in_order_of, new_volume, words

MOST_PADDING = 2

_CHANNELS_LAST = torch.channels_last


class _Winograd(ctypes.Structure):
    """`StriateWinograd` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "height", "width", "channels")),
        *((name, ctypes.c_int64) for name in ("kernels", "pad")),
        *((name, ctypes.c_int32) for name in ("half", "turned", "pool", "threads")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "panels", "x", "y", "dy")),
        *((name, ctypes.c_void_p) for name in ("places", "weight_gradient", "work")),
    )


def can_convolve(x: Tensor) -> bool:
    """Whether this volume is convolved here: where that is faster than PyTorch.

    In fp32 with AVX2 or more; under autocast to bf16 on processors that multiply bf16.
    """
    if x.device.type != "cpu" or x.dim() != 4 or x.numel() == 0:
        return False
    if not torch.is_autocast_enabled("cpu"):
        return x.dtype == torch.float32 and processor() not in {"pytorch", "scalar"}
    return (
        x.dtype in {torch.float32, torch.bfloat16}
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and multiplies_bf16()
    )


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, *, pool: int = 1
) -> Tensor:
    """The convolution, and a max pooling behind it, with gradients for x, weight and bias.

    Args:
        x: (N, C, H, W).
        weight: (K, C, 3, 3) fp32.
        bias: (K) fp32, or None.
        padding: Zeros on every side, at most `MOST_PADDING`.
        pool: 2 for the largest of each 2x2 (an odd last row or column is left out), or 1.

    Returns:
        (N, K, (H + 2 padding - 2) / pool, (W + 2 padding - 2) / pool), of x's type, or of
        autocast's.

    Raises:
        ValueError: For other shapes, and for types that this processor's operators do not take.
    """
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    _check(x, weight, padding, pool)
    y: Tensor
    if torch.is_grad_enabled():
        y = _Function.apply(x, weight, bias, padding, pool)  # type: ignore[no-untyped-call]
    else:
        y, _ = torch.ops.striate.winograd(x, weight, bias, padding, pool, False)
    return y


def _check(x: Tensor, weight: Tensor, padding: int, pool: int) -> None:
    if weight.dtype != torch.float32 or weight.shape[1:] != (x.shape[1], 3, 3):
        raise ValueError(f"weights of {tuple(weight.shape)}, {weight.dtype}, for {tuple(x.shape)}")
    if not 0 <= padding <= MOST_PADDING or min(x.shape[2:]) + 2 * padding < 3:
        raise ValueError(f"no window of 3x3 on {tuple(x.shape)} with padding {padding}")
    if pool not in {1, 2} or min(x.shape[2:]) + 2 * padding - 2 < pool:
        raise ValueError(f"no pooling by {pool} on {tuple(x.shape)} with padding {padding}")
    if x.numel() == 0:
        raise ValueError(f"no values in {tuple(x.shape)}")
    takes_bf16 = x.dtype == torch.bfloat16 and multiplies_bf16()
    if x.dtype != torch.float32 and not takes_bf16:
        raise ValueError(f"{x.dtype} on {processor()}")


class _Function(torch.autograd.Function):
    """The operators in PyTorch's graph; the general way to register this costs 50 us a call."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, pool: int
    ) -> Tensor:
        y: Tensor
        keep = any(ctx.needs_input_grad[:2])
        y, places = torch.ops.striate.winograd(x, weight, bias, padding, pool, keep)
        ctx.save_for_backward(x, weight, places)
        ctx.padding = padding
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, places = ctx.saved_tensors
        dy = in_order_of(dy, x)
        dx = dweight = dbias = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.striate.winograd_back(dy, places, weight, ctx.padding, x.shape)
        if ctx.needs_input_grad[1]:
            dweight = torch.ops.striate.winograd_weights(x, dy, places, ctx.padding)
        if ctx.needs_input_grad[2]:
            dbias = dy.sum((0, 2, 3), dtype=torch.float32)
        return dx, dweight, dbias, None, None


@operator(
    "winograd(Tensor x, Tensor weight, Tensor? bias, int padding, int pool, bool keep) "
    "-> (Tensor, Tensor)",
    fake=lambda x, weight, bias, padding, pool, keep: _results(x, weight, padding, pool, keep),
)
def _winograd(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, pool: int, keep: bool
) -> tuple[Tensor, Tensor]:
    x = x.contiguous(memory_format=_CHANNELS_LAST)
    y, places = _results(x, weight, padding, pool, keep)
    call = _Call(x.shape, y, padding, pool=pool)
    call.run_forward(weight, bias=bias, x=x, places=places, y=y)
    return y, places


@operator(
    "winograd_back(Tensor dy, Tensor places, Tensor weight, int padding, int[] shape) -> Tensor",
    fake=lambda dy, places, weight, padding, shape: new_volume(shape, dy),
)
def _winograd_back(
    dy: Tensor, places: Tensor, weight: Tensor, padding: int, shape: list[int]
) -> Tensor:
    dy = dy.contiguous(memory_format=_CHANNELS_LAST)
    dx = new_volume(shape, dy)
    more = 2 * padding - 2
    whole = [*dy.shape[:2], *(side + more for side in shape[2:])]
    call = _Call(whole, dx, MOST_PADDING - padding, pool=_pool_of(places), turned=True)
    call.run_forward(weight, x=dy, places=places, y=dx)
    return dx


@operator(
    "winograd_weights(Tensor x, Tensor dy, Tensor places, int padding) -> Tensor",
    fake=lambda x, dy, places, padding: _gradient(x, dy),
)
def _winograd_weights(x: Tensor, dy: Tensor, places: Tensor, padding: int) -> Tensor:
    x, dy = x.contiguous(memory_format=_CHANNELS_LAST), in_order_of(dy, x)
    gradient = _gradient(x, dy)
    call = _Call(x.shape, dy, padding, pool=_pool_of(places))
    work = words(call.sizes()[2])
    tensors = {"x": x, "dy": dy, "places": places, "weight_gradient": gradient, "work": work}
    call.run("striate_winograd_weights", **tensors)
    return gradient


def _results(
    x: Tensor, weight: Tensor, padding: int, pool: int, keep: bool
) -> tuple[Tensor, Tensor]:
    images, _, height, width = x.shape
    sides = ((side + 2 * padding - 2) // pool for side in (height, width))
    y = new_volume([images, weight.shape[0], *sides], x)
    return y, x.new_empty(y.numel() if pool == 2 and keep else 0, dtype=torch.uint8)


def _pool_of(places: Tensor) -> int:
    return 2 if places.numel() else 1


def _gradient(x: Tensor, dy: Tensor) -> Tensor:
    shape = dy.shape[1], x.shape[1], 3, 3
    return torch.empty(shape, dtype=torch.float32, device=x.device, memory_format=_CHANNELS_LAST)


class _Call:
    """A call of the library.

    Args:
        shape: Of what is convolved, (N, C, H, W), as it was before a pooling.
        y: What comes out, or its gradient.
        padding: Of what is convolved.
        pool: 2 where y, or on the way back what is convolved, is pooled.
        turned: Whether it is the way back.
    """

    def __init__(
        self, shape: Sequence[int], y: Tensor, padding: int, *, pool: int, turned: bool = False
    ) -> None:
        images, channels, height, width = shape
        self.job = _Winograd(
            images=images, height=height, width=width, channels=channels, kernels=y.shape[1],
            pad=padding, half=y.dtype == torch.bfloat16, turned=turned, pool=pool,
            threads=torch.get_num_threads(),
        )  # fmt: skip
        library = load_library()
        assert library is not None
        self.library = library

    def sizes(self) -> list[int]:
        """Words for the packed weights, the way forward, and the gradient of the weights."""
        sizes = [ctypes.c_int64() for _ in range(3)]
        self.library.striate_winograd_sizes(ctypes.byref(self.job), *map(ctypes.byref, sizes))
        return [size.value for size in sizes]

    def run_forward(
        self, weight: Tensor, *, bias: Tensor | None = None, **tensors: Tensor | None
    ) -> None:
        """Forward, or the same way back."""
        panels, work, _ = self.sizes()
        weight = weight.contiguous(memory_format=_CHANNELS_LAST)
        bias = None if bias is None else bias.contiguous()
        room = {"panels": words(panels), "work": words(work)}
        self.run("striate_winograd", weight=weight, bias=bias, **tensors, **room)

    def run(self, function: str, **tensors: Tensor | None) -> None:
        """Calls a function of the library."""
        for name, tensor in tensors.items():
            setattr(self.job, name, None if tensor is None else tensor.data_ptr() or None)
        getattr(self.library, function)(ctypes.byref(self.job))
