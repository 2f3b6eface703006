"""A step of Muon as one operator, against the same in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from striate.kernels import (
    can_step_muon,
    count_muon_flop,
    load_library,
    multiplies_bf16,
    processor,
    step_muon,
)
from striate.training.muon import COEFFICIENTS, ITERATIONS, orthogonalise

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

MOMENTUM, RATE = 0.6, 0.24
SHAPES = (
    (1, 1),
    (1, 9),
    (9, 1),
    (16, 25),
    (25, 16),
    (64, 24, 3, 3),
    (32, 32),
    (70, 130),
    (260, 96),
)
# Of the norm of the step. bf16 rounds to one part in 256 at most, as both factors of one value.
TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 1e-2}


def tensors(shape, dtype=torch.float32):
    """Weights, momentum and gradient."""
    made = [torch.randn(shape) for _ in range(3)]
    if len(shape) == 4:
        made = [each.contiguous(memory_format=torch.channels_last) for each in made]
    return made


def run(weights, held, gradient, dtype=torch.float32):
    """The weights and the momentum after a step."""
    weights, held = weights.clone(), held.clone()
    options = {"coefficients": COEFFICIENTS, "steps": ITERATIONS}
    step_muon(weights, held, gradient, momentum=MOMENTUM, rate=RATE, dtype=dtype, **options)
    return weights, held


def right(weights, held, gradient):
    """The same in float64."""
    weights, held, gradient = (each.double().flatten(1) for each in (weights, held, gradient))
    held = MOMENTUM * held + gradient
    step = orthogonalise((gradient + MOMENTUM * held)[None], torch.float64)[0]
    scaled = weights * len(weights) ** 0.5 / weights.norm().clamp_min(1e-7)
    return scaled - RATE * step, held, (RATE * step).norm()


def check(given_tensors, dtype, times=1):
    weights, held = run(*given_tensors, dtype)
    expected, right_held, size = right(*given_tensors)
    assert (weights.flatten(1) - expected).norm() <= times * TOLERANCE[dtype] * size + 1e-6
    torch.testing.assert_close(held.flatten(1).double(), right_held, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_every_processor_steps_as_in_float64(processor, dtype):
    torch.manual_seed(0)
    for shape in SHAPES:
        given_tensors = tensors(shape)
        if not can_step_muon(given_tensors[0], dtype):
            pytest.skip(f"{processor} does not do {dtype}")
        check(given_tensors, dtype)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 150), columns=st.integers(1, 150), dtype=st.sampled_from(list(TOLERANCE))
)
def test_any_size(rows, columns, dtype):
    assume(dtype == torch.float32 or multiplies_bf16())
    torch.manual_seed(0)
    check(tensors((rows, columns)), dtype, times=8)  # a step along a small singular value is steep


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", [(130, 300), (300, 130)])
def test_the_same_bits_with_any_number_of_threads(shape, dtype, check_threads):
    if dtype == torch.bfloat16 and not multiplies_bf16():
        pytest.skip("this processor does not multiply bf16")
    torch.manual_seed(0)
    given_tensors = tensors(shape)
    check_threads(lambda: run(*given_tensors, dtype))


def test_a_gradient_may_lie_in_another_order():
    weights, held, gradient = tensors((24, 16, 3, 3))
    other = gradient.contiguous()
    assert other.stride() != gradient.stride()
    expected, found = run(weights, held, gradient), run(weights, held, other)
    assert all(map(torch.equal, expected, found))


def test_no_gradient_yet_makes_no_step():
    weights = torch.randn(20, 30)
    nothing = torch.zeros(20, 30)
    moved, held = run(weights, nothing, nothing)
    torch.testing.assert_close(moved, weights * 20**0.5 / weights.norm())
    assert not held.any()


def test_weights_of_zero_are_moved():
    _, held, gradient = tensors((20, 30))
    moved, _ = run(torch.zeros(20, 30), held, gradient)
    assert moved.isfinite().all()
    assert moved.any()


def test_pytorch_is_told_of_the_change():
    weights, held, gradient = tensors((8, 8))
    before = weights._version
    options = {"coefficients": COEFFICIENTS, "steps": ITERATIONS, "dtype": torch.float32}
    step_muon(weights, held, gradient, momentum=MOMENTUM, rate=RATE, **options)
    assert weights._version > before


def test_what_pytorch_does_better_is_left_to_it():
    takes_fp32 = processor() != "scalar"
    assert can_step_muon(torch.zeros(512, 4000), torch.float32) == takes_fp32
    assert not can_step_muon(torch.zeros(513, 4000), torch.float32)
    assert not can_step_muon(torch.zeros(0, 8), torch.float32)
    assert not can_step_muon(torch.zeros(8, 8).double(), torch.float32)
    assert not can_step_muon(torch.zeros(8, 8, device="meta"), torch.float32)
    assert can_step_muon(torch.zeros(8, 8), torch.bfloat16) == multiplies_bf16()


@pytest.mark.parametrize("shape", [(16, 25), (25, 16), (64, 24, 3, 3)])
def test_operations_are_counted_as_pytorchs_are(shape):
    weights, held, gradient = tensors(shape)
    with FlopCounterMode(display=False) as counter:
        orthogonalise(gradient.flatten(1)[None])
    formulas = {torch.ops.striate.muon: count_muon_flop}
    with FlopCounterMode(display=False, custom_mapping=formulas) as mine:
        run(weights, held, gradient)
    assert mine.get_total_flops() == counter.get_total_flops() > 0
