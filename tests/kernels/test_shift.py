"""Shift and activation as one operator, against PyTorch in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.kernels import ACTIVATIONS, load_library, shift_and_activate

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

FUNCTIONS = {"identity": lambda z: z, "relu": torch.relu, "gelu": F.gelu, "silu": F.silu}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients(processor, activation, dtype):
    torch.manual_seed(0)
    for shape in ((1, 1, 1, 1), (3, 5, 7, 9), (17, 24, 6, 5)):
        x = torch.randn(shape).to(dtype).requires_grad_()
        bias = torch.randn(shape[1]).requires_grad_()
        y = shift_and_activate(x, bias, activation=activation)
        dy = torch.randn_like(y)
        doubles = [t.detach().double().requires_grad_() for t in (x, bias)]
        right = FUNCTIONS[activation](doubles[0] + doubles[1].view(1, -1, 1, 1))
        found = torch.autograd.grad(y, (x, bias), dy)
        gradients = torch.autograd.grad(right, doubles, dy.double())
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        for mine, theirs in zip((y, *found), (right, *gradients), strict=True):
            assert torch.allclose(mine.double(), theirs, rtol=tolerance, atol=tolerance)


def test_on_a_constant_ground_bf16_keeps_the_gradient_of_the_bias():
    # What grey images are: nearly everywhere the same value, and gradients that nearly cancel out.
    torch.manual_seed(0)
    x = torch.full((64, 8, 28, 28), -0.4375).bfloat16()
    bias = torch.zeros(8, requires_grad=True)
    dy = (torch.randn(64, 8, 28, 28) * 1e-3 + 1e-5).bfloat16()
    y = shift_and_activate(x, bias, activation="gelu")
    found = torch.autograd.grad(y, bias, dy)[0]
    double = bias.detach().double().requires_grad_()
    right = F.gelu(x.double() + double.view(1, -1, 1, 1))
    assert torch.allclose(
        found.double(), torch.autograd.grad(right, double, dy.double())[0], rtol=1e-3
    )


def test_the_operator_keeps_pytorchs_rules():
    x, bias = torch.randn(2, 3, 4, 6, requires_grad=True), torch.rand(3, requires_grad=True)
    x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.striate.shift, (x, bias, 2), test_utils=checks)
