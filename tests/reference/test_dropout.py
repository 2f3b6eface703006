"""Dropout: inverted, with the input's rate and the hidden layers' rate apart."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.reference import dropout, dropout_backward, dropout_masks


def test_the_input_and_the_hidden_layers_have_rates_of_their_own():
    masks = dropout_masks([(100, 784), (100, 50), (100, 50)], np.random.default_rng(0))
    kept = [float(mask.mean()) for mask in masks]
    assert kept == pytest.approx([0.8, 0.5, 0.5], abs=0.02)
    others = dropout_masks(
        [(100, 784), (100, 50)], np.random.default_rng(0), input_rate=0.0, hidden_rate=0.9
    )
    assert others[0].all()
    assert float(others[1].mean()) == pytest.approx(0.1, abs=0.02)


def test_the_same_seed_drops_the_same():
    first, second = (dropout_masks([(4, 9)], np.random.default_rng(5))[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, dropout_masks([(4, 9)], np.random.default_rng(6))[0])


def test_the_expected_value_stays():
    values = np.full((200, 500), 3.0)
    (mask,) = dropout_masks([values.shape], np.random.default_rng(0), input_rate=0.3)
    assert dropout(values, mask, rate=0.3).mean() == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_it_is_pytorchs_with_pytorchs_mask(rate):
    torch.manual_seed(0)
    values = torch.randn(20, 30, dtype=torch.float64, requires_grad=True)
    output = nn.Dropout(rate)(values)
    output.backward(torch.ones_like(output) * 3)
    mask = (output != 0).numpy()
    ours = dropout(values.detach().numpy(), mask, rate=rate)
    np.testing.assert_allclose(ours, output.detach().numpy(), atol=1e-10)
    gradient = dropout_backward(np.full(mask.shape, 3.0), mask, rate=rate)
    np.testing.assert_allclose(gradient, values.grad.numpy(), atol=1e-10)


def test_the_gradient_is_the_numerical_one(numerical):
    values, slope = np.random.default_rng(0).normal(size=(2, 3, 4))
    mask = np.array([[True, False, True, True]] * 3)
    found = dropout_backward(slope, mask, rate=0.25)
    expected = numerical(lambda x: dropout(x, mask, rate=0.25), values, slope)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("rates", [(1.0, 0.5), (0.2, -0.1)])
def test_a_rate_out_of_range_is_an_error(rates):
    with pytest.raises(ValueError, match="rates are at least 0 and below 1, not "):
        dropout_masks(
            [(2, 2), (2, 2)], np.random.default_rng(0), input_rate=rates[0], hidden_rate=rates[1]
        )
