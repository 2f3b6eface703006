"""A step of Muon for the weights of one layer, as one operator.

The Newton-Schulz iteration of `striate.training.muon` runs on the Gram matrix, which takes two of
the large products instead of six. Those are fp32 or bf16; what lies between them is fp32. No sum
depends on the count of threads. The operator is `torch.ops.striate.muon`.
"""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from striate.kernels.library import load_library, multiplies_bf16, processor
from striate.kernels.operator import operator
from striate.kernels.volumes import words

MOST_ROWS = 512  # of the shorter side: beyond it PyTorch's products are faster
WORTH_THREADS = 1 << 13  # values; smaller matrices are one thread's work


class _Muon(ctypes.Structure):
    """`StriateMuon` of native/striate_kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "columns")),
        *((name, ctypes.c_int32) for name in ("half", "steps", "threads")),
        *((name, ctypes.c_float) for name in ("a", "b", "c", "factor", "rate")),
        *((name, ctypes.c_void_p) for name in ("weight", "held", "gradient", "work")),
    )


def can_step_muon(weights: Tensor, dtype: torch.dtype) -> bool:
    """Whether the operator takes these weights (K, ...), with products of that type."""
    if dtype == torch.bfloat16:
        multiplies = multiplies_bf16()
    else:
        multiplies = dtype == torch.float32 and processor() not in {"pytorch", "scalar"}
    rows, columns = len(weights), weights[:1].numel()
    fits = 0 < min(rows, columns) <= MOST_ROWS
    return multiplies and fits and weights.device.type == "cpu" and weights.dtype == torch.float32


def step_muon(
    weights: Tensor,
    held: Tensor,
    gradient: Tensor,
    *,
    coefficients: tuple[float, float, float],
    steps: int,
    momentum: float,
    rate: float,
    dtype: torch.dtype,
) -> None:
    """Move the weights in place.

    held <- b held + g; u = g + b held; x = u / |u|, and `steps` times x <- (a + b X + c X X) x with
    X = x x'; w <- w sqrt(K) / |w| - rate x.

    Args:
        weights: fp32 (K, ...), all of a row next to each other, and the rows too.
        held: The momentum, in the same order of memory.
        gradient: In any order of memory.
        coefficients: a, b and c.
        steps: Of the iteration, at least 1.
        momentum: b.
        rate: Of the step.
        dtype: Of the products with u: fp32 or bf16.
    """
    if gradient.stride() != weights.stride():
        gradient = torch.empty_like(weights).copy_(gradient)
    half = dtype == torch.bfloat16
    torch.ops.striate.muon(weights, held, gradient, list(coefficients), steps, momentum, rate, half)
    increment_version([weights, held])  # as PyTorch does where it writes


def count_muon_flop(
    weights: list[int],
    held: list[int],
    gradient: list[int],
    coefficients: list[float],
    steps: int,
    *_: object,
    **__: object,
) -> int:
    """The operations of a step by the formula above, two for each multiply-add.

    Args:
        weights: The shape.
        held: That of the momentum.
        gradient: That of the gradient.
        coefficients: As of the operator.
        steps: Of the iteration.
    """
    rows, columns = weights[0], math.prod(weights[1:])
    high, wide = min(rows, columns), max(rows, columns)
    return 2 * steps * (2 * high**2 * wide + high**3)


@operator(
    "muon(Tensor(a!) weights, Tensor(b!) held, Tensor gradient, float[] coefficients, int steps, "
    "float momentum, float rate, bool half) -> ()",
    fake=lambda *_: None,
)
def _muon(
    weights: Tensor,
    held: Tensor,
    gradient: Tensor,
    coefficients: list[float],
    steps: int,
    momentum: float,
    rate: float,
    half: bool,
) -> None:
    library = load_library()
    assert library is not None
    rows = len(weights)
    job = _Muon(
        rows, weights.numel() // rows, half, steps,
        torch.get_num_threads() if weights.numel() >= WORTH_THREADS else 1,
        *coefficients, momentum, rate, weights.data_ptr(), held.data_ptr(), gradient.data_ptr(),
    )  # fmt: skip
    work = words(library.striate_muon_words(ctypes.byref(job)))
    job.work = work.data_ptr()
    library.striate_muon(ctypes.byref(job))
