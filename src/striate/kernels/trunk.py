"""The first layers of a small net as one operator: convolutions, activations, pooling.

Sixteen images are worked on side by side, from the images to the last volume and back, so that all
between stays in the processor's second cache, and one or six channels waste nothing. All is fp32 on
the CPU. Sums over images are taken in fp32 over sixteen images and in double beyond, whatever the
count of threads.

The operators are `torch.ops.striate.trunk` and `trunk_backward`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.kernels.library import load_library
from striate.kernels.operator import operator

TRUNK_ACTIVATIONS = ("identity", "relu", "gelu", "silu", "tanh", "sigmoid")  # as activations.h
POOLINGS = ("none", "max", "average before", "average after")  # as native/striate_kernels.h
MOST_LAYERS = 8
TOGETHER = 16  # images


@dataclass(frozen=True)
class TrunkLayer:
    """A convolution with stride 1, an activation, and pooling of 2x2 with stride 2.

    Attributes:
        padding: Zeros above and below, and left and right; less than the size of the window.
        activation: One of `TRUNK_ACTIVATIONS`.
        pooling: "none"; "max" or "average before" of what the activation takes; "average after" of
            what it gives. An odd last row or column is left out.
    """

    padding: tuple[int, int] = (0, 0)
    activation: str = "identity"
    pooling: str = "none"

    def numbers(self) -> list[int]:
        """As the operators take it."""
        activation = TRUNK_ACTIVATIONS.index(self.activation)
        return [*self.padding, activation, POOLINGS.index(self.pooling)]


class _Layer(ctypes.Structure):
    """`StriateLayer` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "height", "width", "kernels")),
        *((name, ctypes.c_int64) for name in ("kernel_height", "kernel_width")),
        *((name, ctypes.c_int64) for name in ("pad_height", "pad_width")),
        *((name, ctypes.c_int32) for name in ("activation", "pooling")),
        ("weight_strides", ctypes.c_int64 * 4),
        *((name, ctypes.c_void_p) for name in ("weight", "bias")),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "bias_gradient")),
    )


class _Trunk(ctypes.Structure):
    """`StriateTrunk` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "count")),
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_int32) for name in ("channels_last", "keep", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "y", "dy", "dx", "kept", "work")),
    )


def can_run_trunk(x: Tensor) -> bool:
    """Whether the operator takes these images."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.dim() == 4
        and x.numel() > 0
        and load_library() is not None
        and not torch.is_autocast_enabled("cpu")
    )


def run_trunk(
    x: Tensor, layers: Sequence[TrunkLayer], parameters: Sequence[Tensor | None]
) -> Tensor:
    """Through the layers, with gradients for the images, the weights and the biases.

    Args:
        x: (N, C, H, W) fp32.
        layers: At most `MOST_LAYERS`.
        parameters: The weights (K, C, Fh, Fw) and the bias (K), or None, of each layer in turn.

    Returns:
        (N, K, H', W') of the last layer.
    """
    layout = [number for layer in layers for number in layer.numbers()]
    if torch.is_grad_enabled():
        y: Tensor = _Function.apply(x, layout, *parameters)  # type: ignore[no-untyped-call]
        return y
    result: Tensor = torch.ops.striate.trunk(x, list(parameters), layout, False)[0]
    return result


class _Function(torch.autograd.Function):
    """The operators in PyTorch's graph; the general way to register this costs 50 us a call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: list[int], *parameters: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        y, kept = torch.ops.striate.trunk(x, list(parameters), layout, keep)
        ctx.layout = layout
        ctx.save_for_backward(x, kept, *parameters)
        return y  # type: ignore[no-any-return]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *parameters = ctx.saved_tensors
        onward = ctx.needs_input_grad[0]
        found = torch.ops.striate.trunk_backward(dy, x, kept, parameters, ctx.layout, onward)
        dx, *gradients = found
        given = zip(gradients, parameters, strict=True)
        return dx if onward else None, None, *(None if p is None else g for g, p in given)


@operator(
    "trunk(Tensor x, Tensor?[] parameters, int[] layout, bool keep) -> (Tensor, Tensor)",
    fake=lambda x, parameters, layout, keep: (
        x.new_empty(_result_shape(x, parameters, layout)),
        x.new_empty(0),
    ),
)
def _trunk(
    x: Tensor, parameters: list[Tensor | None], layout: list[int], keep: bool
) -> tuple[Tensor, Tensor]:
    return _Call(x, _layers(layout), parameters).forward(keep=keep)


@operator(
    "trunk_backward(Tensor dy, Tensor x, Tensor kept, Tensor?[] parameters, int[] layout, "
    "bool onward) -> Tensor[]",
    fake=lambda dy, x, kept, parameters, layout, onward: [
        x.new_empty(0) if like is None else torch.empty_like(like)
        for like in (x if onward else None, *parameters)
    ],
)
def _trunk_backward(
    dy: Tensor,
    x: Tensor,
    kept: Tensor,
    parameters: list[Tensor | None],
    layout: list[int],
    onward: bool,
) -> list[Tensor]:
    call = _Call(x, _layers(layout), parameters)
    dx, gradients = call.backward(dy, kept, needs_dx=onward)
    return [x.new_empty(0) if each is None else each for each in (dx, *gradients)]


def _layers(layout: list[int]) -> list[TrunkLayer]:
    return [
        TrunkLayer((down, across), TRUNK_ACTIVATIONS[activation], POOLINGS[pooling])
        for down, across, activation, pooling in zip(*[iter(layout)] * 4, strict=True)
    ]


def _result_shape(
    x: Tensor, parameters: list[Tensor | None], layout: list[int]
) -> tuple[int, int, int, int]:
    images, channels, height, width = x.shape
    for layer, weight in zip(_layers(layout), parameters[::2], strict=True):
        assert weight is not None
        channels = weight.shape[0]
        pool = 1 if layer.pooling == "none" else 2
        height = (height + 2 * layer.padding[0] - weight.shape[2] + 1) // pool
        width = (width + 2 * layer.padding[1] - weight.shape[3] + 1) // pool
    return images, channels, height, width


class _Call:
    """A call of the library, whose tensors it keeps alive."""

    def __init__(
        self, x: Tensor, layers: Sequence[TrunkLayer], parameters: Sequence[Tensor | None]
    ) -> None:
        library = load_library()
        assert library is not None
        self.library = library
        in_planes = x.is_contiguous()
        if not in_planes:
            x = x.contiguous(memory_format=torch.channels_last)
        self.x, self.parameters = x, parameters
        self.layers = (_Layer * len(layers))()
        shape: Sequence[int] = x.shape
        for place, layer in enumerate(layers):
            weight, bias = parameters[2 * place : 2 * place + 2]
            assert weight is not None
            shape = _describe(self.layers[place], layer, shape, weight, bias)
        self.shape = shape
        blocks = -(-len(x) // TOGETHER)
        self.job = _Trunk(
            images=len(x), count=len(layers), layers=self.layers, channels_last=not in_planes,
            threads=min(torch.get_num_threads(), blocks), x=x.data_ptr(),
        )  # fmt: skip
        self.blocks = blocks

    def forward(self, *, keep: bool) -> tuple[Tensor, Tensor]:
        """The result, and what the way back needs."""
        kept_size, work = self._work_space()
        kept = torch.empty((self.blocks if keep else self.job.threads) * kept_size)
        y = torch.empty(self.shape)
        self.job.keep, self.job.kept, self.job.work = keep, kept.data_ptr(), work.data_ptr()
        self.job.y = y.data_ptr()
        self.library.striate_trunk(ctypes.byref(self.job))
        return y, kept

    def backward(
        self, dy: Tensor, kept: Tensor, *, needs_dx: bool
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """Gradients of the images, where asked for, and of the parameters."""
        dy = dy.contiguous()
        dx = torch.empty_like(self.x) if needs_dx else None
        gradients = [None if p is None else torch.empty_like(p) for p in self.parameters]
        for layer, weight, bias in zip(self.layers, gradients[::2], gradients[1::2], strict=True):
            layer.weight_gradient, layer.bias_gradient = _address(weight), _address(bias)
        self.job.dx = _address(dx)  # before the size of the work space is asked for
        _, work = self._work_space()
        self.job.keep, self.job.kept, self.job.work = 1, kept.data_ptr(), work.data_ptr()
        self.job.dy = dy.data_ptr()
        self.library.striate_trunk_back(ctypes.byref(self.job))
        return dx, gradients

    def _work_space(self) -> tuple[int, Tensor]:
        kept, work = ctypes.c_int64(), ctypes.c_int64()
        self.library.striate_trunk_sizes(
            ctypes.byref(self.job), ctypes.byref(kept), ctypes.byref(work)
        )
        return kept.value, torch.empty(work.value)


def _describe(
    job: _Layer, layer: TrunkLayer, shape: Sequence[int], weight: Tensor, bias: Tensor | None
) -> Sequence[int]:
    """Fills the description of a layer; returns the shape of its result."""
    images, channels, height, width = shape
    kernels, _, kernel_height, kernel_width = weight.shape
    pad_height, pad_width = layer.padding
    job.channels, job.height, job.width, job.kernels = channels, height, width, kernels
    job.kernel_height, job.kernel_width = kernel_height, kernel_width
    job.pad_height, job.pad_width = pad_height, pad_width
    job.activation = TRUNK_ACTIVATIONS.index(layer.activation)
    job.pooling = POOLINGS.index(layer.pooling)
    job.weight_strides[:] = weight.stride()
    job.weight, job.bias = weight.data_ptr(), _address(bias)
    pool = 1 if layer.pooling == "none" else 2
    rows = height + 2 * pad_height - kernel_height + 1
    columns = width + 2 * pad_width - kernel_width + 1
    return images, kernels, rows // pool, columns // pool


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
