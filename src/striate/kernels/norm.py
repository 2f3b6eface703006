"""Max pooling, batch normalisation, an addition and an activation as one operator.

    y = activation(weight * (pool(x) - mean) / sqrt(variance + epsilon) + bias + added)

The operators are `torch.ops.striate.*`. Volumes are (N, C, H, W), fp32 or bf16 on the CPU, in
channels_last; what is by channel is fp32, (C). Sums are taken in fp32 within an image and in double
over the images, whatever the count of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from striate.kernels.operator import operator
from striate.kernels.volumes import ACTIVATIONS, Job, in_order_of, new_volume, work_space


def normalize_batch(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    added: Tensor | None = None,
    epsilon: float,
    pool: int = 1,
    activation: str = "identity",
) -> tuple[Tensor, Tensor, Tensor]:
    """With the statistics of this batch, and gradients for x, weight, bias and added.

    Args:
        x: (N, C, H, W).
        weight: (C), or None for 1.
        bias: (C), or None for 0.
        added: As y, or None.
        epsilon: Added to the variance.
        pool: 2 for the largest of each 2x2 first (an odd last row or column is left out), or 1.
        activation: One of `ACTIVATIONS`.

    Returns:
        y (N, C, H/pool, W/pool), and the mean and the (biased) variance of the pooled values (C).
    """
    place = ACTIVATIONS.index(activation)
    y, _, _, mean, variance = torch.ops.striate.normalize(
        x, weight, bias, added, epsilon, pool, place
    )
    return y, mean, variance


def scale_and_activate(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    added: Tensor | None = None,
    pool: int = 1,
    activation: str = "identity",
) -> Tensor:
    """activation(pool(x) * scale + shift + added), without gradients.

    Args:
        x: (N, C, H, W).
        scale: (C) fp32.
        shift: (C) fp32.
        added: As the result, or None.
        pool: 2 for the largest of each 2x2 first, or 1.
        activation: One of `ACTIVATIONS`.
    """
    place = ACTIVATIONS.index(activation)
    result: Tensor = torch.ops.striate.affine(x, scale, shift, added, pool, place)
    return result


@operator(
    "normalize(Tensor x, Tensor? weight, Tensor? bias, Tensor? added, float epsilon, int pool, "
    "int activation) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    fake=lambda x, *options: _results_of_normalize(x, options[-2]),
)
def _normalize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    added: Tensor | None,
    epsilon: float,
    pool: int,
    activation: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    x = x.contiguous(memory_format=torch.channels_last)
    y = _pooled_like(x, pool)
    added = None if added is None else in_order_of(added, y)
    pooled = torch.empty_like(y) if pool == 2 else x.new_empty(0)
    places = torch.empty(pooled.numel(), dtype=torch.uint8)
    seen = pooled if pool == 2 else x
    centre = _first_values(x)
    totals = torch.empty(2, x.shape[1], dtype=torch.float64)
    job = Job(x, pool, activation, added=added, pooled=seen, places=places, centre=centre, y=y)
    job.run("striate_norm_sums", totals=totals, sums=work_space(x))
    count = y.numel() // x.shape[1]
    offset = totals[0] / count
    variance = (totals[1] / count - offset * offset).clamp_min_(0)
    mean = (offset + centre).float()
    scale, shift = _scale_and_shift(mean, variance, weight, bias, epsilon)
    job.run("striate_norm_activate", scale=scale, shift=shift)
    return y, pooled, places, mean, variance.float()


@operator(
    "normalize_backward(Tensor dy, Tensor seen, Tensor places, Tensor mean, Tensor variance, "
    "Tensor? weight, Tensor? bias, Tensor? added, float epsilon, int[] shape, int activation) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    fake=lambda dy, seen, places, mean, *options: (
        new_volume(options[-2], seen),
        torch.empty_like(mean),
        torch.empty_like(mean),
        dy.new_empty(0) if options[3] is None else torch.empty_like(dy),
    ),
)
def _normalize_backward(  # noqa: PLR0913, PLR0917 - what the way forward kept
    dy: Tensor,
    seen: Tensor,
    places: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    added: Tensor | None,
    epsilon: float,
    shape: list[int],
    activation: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dy, dx = in_order_of(dy, seen), new_volume(shape, seen)
    added = None if added is None else in_order_of(added, seen)
    dadded = dy.new_empty(0) if added is None else torch.empty_like(seen)
    scale, shift = _scale_and_shift(mean, variance, weight, bias, epsilon)
    totals = torch.empty(2, dx.shape[1], dtype=torch.float64)
    job = Job(
        dx, 2 if len(places) else 1, activation, added=added, pooled=seen, places=places,
        centre=mean, scale=scale, shift=shift, dy=dy, dx=dx, dadded=dadded,
    )  # fmt: skip
    job.run("striate_norm_gradient_sums", totals=totals, sums=work_space(dx))
    count = dy.numel() // dx.shape[1]
    deviation = (variance.double() + epsilon).rsqrt()
    # d of the mean and of the variance, by which every value of the channel gets its share
    slope = -scale * (totals[1] * deviation * deviation / count)
    level = -scale * (totals[0] / count)
    job.run("striate_norm_gradient", a=scale, b=slope.float(), d=level.float())
    return dx, (totals[1] * deviation).float(), totals[0].float(), dadded


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, added, epsilon, pool, activation = inputs
    _, pooled, places, mean, variance = output
    ctx.options = epsilon, x.shape, activation
    seen = pooled if pool == 2 else x.contiguous(memory_format=torch.channels_last)
    ctx.save_for_backward(seen, places, mean, variance, weight, bias, added)
    ctx.mark_non_differentiable(pooled, places, mean, variance)


def _differentiate(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    dx, dweight, dbias, dadded = torch.ops.striate.normalize_backward(dy, *saved, *ctx.options)
    weight, bias, added = saved[-3:]
    return (
        dx,
        None if weight is None else dweight,
        None if bias is None else dbias,
        None if added is None else dadded,
        *(None,) * 3,
    )


torch.library.register_autograd("striate::normalize", _differentiate, setup_context=_keep)


@operator(
    "affine(Tensor x, Tensor scale, Tensor shift, Tensor? added, int pool, int activation) "
    "-> Tensor",
    fake=lambda x, scale, shift, added, pool, activation: _pooled_like(x, pool),
)
def _affine(
    x: Tensor, scale: Tensor, shift: Tensor, added: Tensor | None, pool: int, activation: int
) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    y = _pooled_like(x, pool)
    added = None if added is None else in_order_of(added, y)
    job = Job(x, pool, activation, added=added, pooled=x, scale=scale, shift=shift, y=y)
    job.run("striate_norm_infer" if pool == 2 else "striate_norm_activate")
    return y


def _results_of_normalize(x: Tensor, pool: int) -> tuple[Tensor, ...]:
    y = _pooled_like(x, pool)
    pooled = torch.empty_like(y) if pool == 2 else x.new_empty(0)
    by_channel = x.new_empty(x.shape[1], dtype=torch.float32)
    places = x.new_empty(pooled.numel(), dtype=torch.uint8)
    return y, pooled, places, by_channel, torch.empty_like(by_channel)


def _pooled_like(x: Tensor, pool: int) -> Tensor:
    images, channels, height, width = x.shape
    return new_volume([images, channels, height // pool, width // pool], x)


def _first_values(x: Tensor) -> Tensor:
    """One value of each channel, near enough to the mean to sum around without cancellation."""
    return x[0, :, 0, 0].float().contiguous()


def _scale_and_shift(
    mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor]:
    scale = (variance.double() + epsilon).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    return scale.float(), shift.float()
