"""Pooling, batch norm, addition and activation as one operator, against PyTorch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.kernels import ACTIVATIONS, load_library, normalize_batch, scale_and_activate

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

FUNCTIONS = {"identity": lambda z: z, "relu": torch.relu, "gelu": F.gelu, "silu": F.silu}
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}


def reference(x, weight, bias, added, pool, activation):
    pooled = F.max_pool2d(x, 2) if pool == 2 else x
    z = F.batch_norm(pooled, None, None, weight, bias, True, eps=1e-5)
    return FUNCTIONS[activation](z if added is None else z + added)


def volume(shape, dtype, mean=0.0):
    x = (torch.randn(shape) + mean).to(dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def inputs(shape, pool, dtype, *, adds, mean=0.0):
    """x, weight, bias and, where asked for, what is added."""
    n, c, h, w = shape
    tensors = [volume(shape, dtype, mean), *(torch.randn(c).requires_grad_() for _ in range(2))]
    return [*tensors, volume((n, c, h // pool, w // pool), dtype)] if adds else tensors


def error(found: Tensor, right: Tensor) -> float:
    found, right = found.detach().double(), right.detach()
    return float((found - right).abs().max() / right.abs().max().clamp_min(1e-3))


def check(tensors, pool, activation, *, tolerance):
    x, weight, bias, *more = tensors
    added = more[0] if more else None
    y, mean, variance = normalize_batch(
        x, weight, bias, added=added, epsilon=1e-5, pool=pool, activation=activation
    )
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    right = reference(*doubles[:3], doubles[3] if more else None, pool, activation)
    dy = torch.randn_like(y)
    found = torch.autograd.grad(y, tensors, dy)
    gradients = torch.autograd.grad(right, doubles, dy.double())
    for mine, theirs in zip((y, *found), (right, *gradients), strict=True):
        assert mine.shape == theirs.shape
        assert error(mine, theirs) < tolerance
    pooled = F.max_pool2d(x.detach().double(), 2) if pool == 2 else x.detach().double()
    assert torch.allclose(mean.double(), pooled.mean((0, 2, 3)), rtol=1e-5, atol=1e-5)
    spread = pooled.var((0, 2, 3), unbiased=False)
    assert torch.allclose(variance.double(), spread, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_every_processor_agrees_with_pytorch(processor, dtype, pool, activation, adds):
    torch.manual_seed(0)
    for shape in ((3, 5, 7, 9), (4, 64, 8, 8), (2, 24, 6, 5), (17, 1, 4, 4)):
        tensors = inputs(shape, pool, dtype, adds=adds)
        check(tensors, pool, activation, tolerance=TOLERANCE[dtype])


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*(st.integers(2, high) for high in (5, 70, 11, 11))),
    pool=st.sampled_from([1, 2]),
    activation=st.sampled_from(ACTIVATIONS),
    adds=st.booleans(),
)
def test_any_shape_agrees_with_pytorch(shape, pool, activation, adds):
    n, _, h, w = shape
    assume(n * (h // pool) * (w // pool) > 8)  # fewer can lie so close that rounding decides
    tensors = inputs(shape, pool, torch.float32, adds=adds)
    check(tensors, pool, activation, tolerance=1e-4)


def test_a_mean_far_from_zero_costs_no_precision():
    torch.manual_seed(0)
    tensors = inputs((8, 16, 8, 8), 1, torch.float32, adds=False, mean=1000.0)
    check(tensors, 1, "gelu", tolerance=1e-3)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_given_statistics(processor, dtype, pool):
    torch.manual_seed(0)
    for activation in ACTIVATIONS:
        for adds in (False, True):
            x, scale, shift, *more = (
                t.detach() for t in inputs((3, 19, 7, 6), pool, dtype, adds=adds)
            )
            added = more[0] if more else None
            options = {"pool": pool, "activation": activation}
            found = scale_and_activate(x, scale, shift, added=added, **options)
            pooled = (F.max_pool2d(x, 2) if pool == 2 else x).double()
            z = pooled * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
            right = FUNCTIONS[activation](z + added if adds else z)
            assert found.dtype == dtype
            assert error(found, right) < TOLERANCE[dtype]


def test_the_count_of_threads_changes_no_bit():
    torch.manual_seed(0)
    x = volume((9, 40, 12, 12), torch.bfloat16)
    bias = torch.zeros(40, requires_grad=True)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            y, *_ = normalize_batch(x, None, bias, epsilon=1e-5, pool=2, activation="gelu")
            results.append((y, *torch.autograd.grad(y, (x, bias), y.detach())))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_not_a_number_spreads_as_in_pytorch():
    x = torch.randn(2, 3, 4, 4)
    x[0, 1, 2, 3] = torch.nan
    y, *_ = normalize_batch(x, None, None, epsilon=1e-5, pool=2, activation="relu")
    assert torch.isnan(y[:, 1]).any()
    assert torch.isfinite(y[:, [0, 2]]).all()


def test_the_operators_keep_pytorchs_rules():
    x = torch.randn(2, 3, 4, 6, requires_grad=True)
    weight, bias = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)
    added = torch.randn(2, 3, 2, 3, requires_grad=True)
    arguments = (x, weight, bias, added, 1e-5, 2, ACTIVATIONS.index("silu"))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.striate.normalize, arguments, test_utils=checks)
    affine = (x.detach(), weight.detach(), bias.detach(), None, 2, 1)
    torch.library.opcheck(torch.ops.striate.affine, affine, test_utils=checks)
