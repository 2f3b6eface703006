"""Activations against PyTorch and against numerical differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from striate.reference.activations import ACTIVATIONS, softmax, softmax_backward

PYTORCH = {
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
}
VALUES = np.concatenate([np.linspace(-6, 6, 97), [-700.0, -40.0, 40.0, 700.0, 0.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_function_and_its_derivative_are_pytorchs(name):
    function, derivative = ACTIVATIONS[name]
    x = torch.from_numpy(VALUES).requires_grad_()
    y = PYTORCH[name](x)
    y.sum().backward()
    np.testing.assert_allclose(function(VALUES), y.detach(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(derivative(VALUES), x.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_agrees_with_numerical_differences(name):
    function, derivative = ACTIVATIONS[name]
    x = np.linspace(-5.05, 5.05, 102)  # without 0, where relu has a corner
    slope = (function(x + 1e-5) - function(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(derivative(x), slope, atol=1e-8)


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4, 4)])
def test_softmax_is_pytorchs(shape):
    generator = np.random.default_rng(0)
    x, gradient = generator.normal(0, 5, shape), generator.standard_normal(shape)
    tensor = torch.from_numpy(x).requires_grad_()
    p = torch.softmax(tensor, dim=1)
    p.backward(torch.from_numpy(gradient))
    np.testing.assert_allclose(softmax(x), p.detach(), rtol=1e-12)
    np.testing.assert_allclose(softmax_backward(gradient, x), tensor.grad, rtol=1e-10, atol=1e-14)


def test_softmax_does_not_overflow_and_ignores_a_common_shift():
    x = np.array([[1000.0, 1001.0, 999.0]])
    np.testing.assert_allclose(softmax(x), softmax(x - 1000), rtol=1e-12)
    assert softmax(x).sum() == pytest.approx(1)
