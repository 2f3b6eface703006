"""A shift of each channel and an activation as one operator: activation(x + bias).

A rectifier behind a convolution with a bias. In bf16 the gradient of that bias, a sum over all
positions, is lost to rounding where the images lie on a constant ground; here it is taken in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from striate.kernels.operator import operator
from striate.kernels.volumes import ACTIVATIONS, Job, in_order_of, new_volume, work_space


def shift_and_activate(x: Tensor, bias: Tensor, *, activation: str) -> Tensor:
    """activation(x + bias), with gradients for x and bias: that of the bias is summed in fp32.

    Args:
        x: (N, C, H, W).
        bias: (C) fp32.
        activation: One of `ACTIVATIONS`.
    """
    result: Tensor = torch.ops.striate.shift(x, bias, ACTIVATIONS.index(activation))
    return result


@operator(
    "shift(Tensor x, Tensor bias, int activation) -> Tensor",
    fake=lambda x, bias, activation: torch.empty_like(x),
)
def _shift(x: Tensor, bias: Tensor, activation: int) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    y, one = torch.empty_like(x), torch.ones_like(bias)
    job = Job(x, 1, activation, pooled=x, scale=one, shift=bias.contiguous(), y=y)
    job.run("striate_norm_activate")
    return y


@operator(
    "shift_backward(Tensor dy, Tensor x, Tensor bias, int activation, bool onward) "
    "-> (Tensor, Tensor)",
    fake=lambda dy, x, bias, activation, onward: (
        new_volume(x.shape if onward else [0, 1, 1, 1], x),
        torch.empty_like(bias),
    ),
)
def _shift_backward(
    dy: Tensor, x: Tensor, bias: Tensor, activation: int, onward: bool
) -> tuple[Tensor, Tensor]:
    x = x.contiguous(memory_format=torch.channels_last)
    one, zero = torch.ones_like(bias), torch.zeros_like(bias)
    totals = torch.empty(2, x.shape[1], dtype=torch.float64)
    job = Job(
        x, 1, activation, pooled=x, centre=zero, scale=one, shift=bias.contiguous(),
        dy=in_order_of(dy, x),
    )  # fmt: skip
    job.run("striate_norm_gradient_sums", totals=totals, sums=work_space(x))
    dx = new_volume(list(x.shape) if onward else [0, 1, 1, 1], x)
    if onward:
        job.run("striate_norm_gradient", a=one, b=zero, d=zero, dx=dx)
    return dx, totals[0].float()


def _keep_shift(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, bias, ctx.activation = inputs
    ctx.save_for_backward(x, bias)


def _differentiate_shift(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    onward = ctx.needs_input_grad[0]
    dx, dbias = torch.ops.striate.shift_backward(dy, *ctx.saved_tensors, ctx.activation, onward)
    return dx if onward else None, dbias, None


torch.library.register_autograd("striate::shift", _differentiate_shift, setup_context=_keep_shift)
