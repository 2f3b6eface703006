"""Convolutions of 3x3 with stride 1 by minimal filtering: 36 products in the place of 144.

F(4x4, 3x3) of Winograd; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).
The way forward and both gradients are computed so. Transforms and sums are fp32. In bf16 the
transformed values are rounded too, and their differences taken: what comes out is off by about one
part in a hundred of what such results come to, five times the rounding of bf16 itself. No sum
depends on the count of threads.

The operators are `torch.ops.striate.winograd` and `winograd_weights`. Volumes are (N, C, H, W),
fp32 or bf16 on the CPU, in channels_last; weights and biases are fp32.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from striate.kernels.library import has_tiles, load_library, processor
from striate.kernels.operator import operator
from striate.kernels.volumes import in_order_of, new_volume

MOST_PADDING = 2

_CHANNELS_LAST = torch.channels_last


class _Winograd(ctypes.Structure):
    """`StriateWinograd` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "height", "width", "channels")),
        *((name, ctypes.c_int64) for name in ("kernels", "pad")),
        *((name, ctypes.c_int32) for name in ("half", "turned", "threads")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "panels", "x", "y", "dy")),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "work")),
    )


def can_convolve(x: Tensor) -> bool:
    """Whether this volume is convolved here: where that is faster than PyTorch.

    In fp32 with AVX2 or more; under autocast to bf16 on processors that multiply bf16 in vectors
    but not in tiles (AMX), which are faster still.
    """
    if x.device.type != "cpu" or x.dim() != 4 or x.numel() == 0:
        return False
    if not torch.is_autocast_enabled("cpu"):
        return x.dtype == torch.float32 and processor() not in {"pytorch", "scalar"}
    return (
        x.dtype in {torch.float32, torch.bfloat16}
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and processor() == "avx512_bf16"
        and not has_tiles()
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """The convolution, with gradients for x, weight and bias.

    Args:
        x: (N, C, H, W).
        weight: (K, C, 3, 3) fp32.
        bias: (K) fp32, or None.
        padding: Zeros on every side, at most `MOST_PADDING`.

    Returns:
        (N, K, H + 2 padding - 2, W + 2 padding - 2), of x's type, or of autocast's.

    Raises:
        ValueError: For other shapes, and for types that this processor's operators do not take.
    """
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    _check(x, weight, padding)
    y: Tensor = _Function.apply(x, weight, bias, padding)  # type: ignore[no-untyped-call]
    return y


def _check(x: Tensor, weight: Tensor, padding: int) -> None:
    if weight.dtype != torch.float32 or weight.shape[1:] != (x.shape[1], 3, 3):
        raise ValueError(f"weights of {tuple(weight.shape)}, {weight.dtype}, for {tuple(x.shape)}")
    if not 0 <= padding <= MOST_PADDING or min(x.shape[2:]) + 2 * padding < 3:
        raise ValueError(f"no window of 3x3 on {tuple(x.shape)} with padding {padding}")
    if x.numel() == 0:
        raise ValueError(f"no values in {tuple(x.shape)}")
    if x.dtype != torch.float32 and (x.dtype, processor()) != (torch.bfloat16, "avx512_bf16"):
        raise ValueError(f"{x.dtype} on {processor()}")


class _Function(torch.autograd.Function):
    """The operators in PyTorch's graph; the general way to register this costs 50 us a call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        y: Tensor = torch.ops.striate.winograd(x, weight, bias, padding, False)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = in_order_of(dy, x)
        dx = dweight = dbias = None
        if ctx.needs_input_grad[0]:
            back = MOST_PADDING - ctx.padding
            dx = torch.ops.striate.winograd(dy, weight, None, back, True)
        if ctx.needs_input_grad[1]:
            dweight = torch.ops.striate.winograd_weights(x, dy, ctx.padding)
        if ctx.needs_input_grad[2]:
            dbias = dy.sum((0, 2, 3), dtype=torch.float32)
        return dx, dweight, dbias, None


@operator(
    "winograd(Tensor x, Tensor weight, Tensor? bias, int padding, bool turned) -> Tensor",
    fake=lambda x, weight, bias, padding, turned: _result(x, weight, padding, turned=turned),
)
def _winograd(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, turned: bool) -> Tensor:
    x = x.contiguous(memory_format=_CHANNELS_LAST)
    weight = weight.contiguous(memory_format=_CHANNELS_LAST)
    bias = None if bias is None else bias.contiguous()
    y = _result(x, weight, padding, turned=turned)
    call = _Call(x, y, padding)
    panels, work, _ = call.sizes()
    tensors = {"weight": weight, "bias": bias, "x": x, "y": y}
    tensors |= {"panels": _words(panels), "work": _words(work)}
    call.run("striate_winograd", turned=turned, **tensors)
    return y


@operator(
    "winograd_weights(Tensor x, Tensor dy, int padding) -> Tensor",
    fake=lambda x, dy, padding: _gradient(x, dy),
)
def _winograd_weights(x: Tensor, dy: Tensor, padding: int) -> Tensor:
    x, dy = x.contiguous(memory_format=_CHANNELS_LAST), in_order_of(dy, x)
    gradient = _gradient(x, dy)
    call = _Call(x, dy, padding)
    work = _words(call.sizes()[2])
    call.run("striate_winograd_weights", x=x, dy=dy, weight_gradient=gradient, work=work)
    return gradient


def _result(x: Tensor, weight: Tensor, padding: int, *, turned: bool) -> Tensor:
    images, _, height, width = x.shape
    more = 2 * padding - 2
    return new_volume([images, weight.shape[1 if turned else 0], height + more, width + more], x)


def _gradient(x: Tensor, dy: Tensor) -> Tensor:
    shape = dy.shape[1], x.shape[1], 3, 3
    return torch.empty(shape, dtype=torch.float32, device=x.device, memory_format=_CHANNELS_LAST)


def _words(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.int32)


class _Call:
    """A call of the library from x to y, or with the gradient of y."""

    def __init__(self, x: Tensor, y: Tensor, padding: int) -> None:
        images, channels, height, width = x.shape
        self.job = _Winograd(
            images=images, height=height, width=width, channels=channels, kernels=y.shape[1],
            pad=padding, half=x.dtype == torch.bfloat16, threads=torch.get_num_threads(),
        )  # fmt: skip
        library = load_library()
        assert library is not None
        self.library = library

    def sizes(self) -> list[int]:
        """Words for the packed weights, the way forward, and the gradient of the weights."""
        sizes = [ctypes.c_int64() for _ in range(3)]
        self.library.striate_winograd_sizes(ctypes.byref(self.job), *map(ctypes.byref, sizes))
        return [size.value for size in sizes]

    def run(self, function: str, *, turned: bool = False, **tensors: Tensor | None) -> None:
        """Calls a function of the library."""
        self.job.turned = turned
        for name, tensor in tensors.items():
            setattr(self.job, name, None if tensor is None else tensor.data_ptr())
        getattr(self.library, function)(ctypes.byref(self.job))
