"""Whole nets as lists of layers; tests/explanation/test_reference_net.py holds them to PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.reference import Layer, Statistics, backward, forward
from striate.reference.operations import activation, add, bn, concat, fc, scale


def test_batch_norm_with_running_statistics_is_pytorchs_in_a_test():
    generator = np.random.default_rng(0)
    mean, variance, weight, bias = generator.uniform(0.5, 2, (4, 3))
    images, slope = generator.standard_normal((2, 2, 3, 4, 4))
    module = nn.BatchNorm2d(3).double().eval()
    for name, value in (
        ("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", variance)
    ):  # fmt: skip
        getattr(module, name).data = torch.from_numpy(value)
    tensor = torch.from_numpy(images).requires_grad_()
    expected = module(tensor)
    expected.backward(torch.from_numpy(slope))
    operation = bn(running=Statistics(mean, variance))
    values = forward(
        [Layer("bn1", operation, ("input",), {"weight": weight, "bias": bias})], images
    )
    found = backward(values, "bn1", slope)
    np.testing.assert_allclose(values["bn1"].value, expected.detach(), rtol=1e-10)
    np.testing.assert_allclose(found["input"], tensor.grad, rtol=1e-10)
    np.testing.assert_allclose(found["bn1.weight"], module.weight.grad, rtol=1e-10)
    np.testing.assert_allclose(found["bn1.bias"], module.bias.grad, rtol=1e-10)


def test_where_branches_begin_the_gradients_are_added():
    net = [
        Layer("twice", scale(2), ("input",)),
        Layer("both", concat(), ("twice", "input")),
        Layer("sum", add(), ("both", "both", "both")),
    ]
    values = forward(net, np.array([[1.0, -3.0]]))
    assert values["sum"].value.tolist() == [[6, -18, 3, -9]]
    found = backward(values, "sum", np.array([[1.0, 10.0, 100.0, 1000.0]]))
    assert found["both"].tolist() == [[3, 30, 300, 3000]]
    assert found["input"].tolist() == [[306, 3060]]


def test_what_the_loss_does_not_depend_on_has_gradient_zero():
    net = [
        Layer("fc1", fc(), ("input",), {"weight": np.ones((2, 3))}),
        Layer("aside", activation("tanh"), ("input",)),
    ]
    values = forward(net, np.ones((1, 3)))
    assert list(values) == ["input", "fc1.weight", "fc1", "aside"]
    found = backward(values, "fc1", np.ones((1, 2)))
    assert found["aside"].tolist() == [[0, 0, 0]]
    assert found["fc1.weight"].tolist() == [[1, 1, 1]] * 2


def test_a_layer_before_its_input_is_refused():
    with pytest.raises(KeyError, match="later"):
        forward([Layer("add1", add(), ("input", "later"))], np.ones((1, 2)))
