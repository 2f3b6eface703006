"""Local response normalisation: AlexNet's formula, PyTorch, numerical differences."""

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference import response_norm, response_norm_backward


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_formula_of_alexnet():
    images = np.arange(1.0, 8.0).reshape(1, 7, 1, 1)
    output = response_norm(images)
    squares = 2**2 + 3**2 + 4**2 + 5**2 + 6**2
    assert output[0, 3, 0, 0] == pytest.approx(4 / (2 + 1e-4 * squares) ** 0.75, rel=1e-12)
    at_the_edge = 1**2 + 2**2 + 3**2
    assert output[0, 0, 0, 0] == pytest.approx(1 / (2 + 1e-4 * at_the_edge) ** 0.75, rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([1, 3, 5]),
    st.integers(1, 8),
    st.sampled_from([1e-4, 0.3]),
    st.sampled_from([0.75, 0.5]),
)
def test_it_is_pytorchs_with_alpha_divided(in_torch, n, channels, alpha, beta):
    images = 10 * np.random.default_rng(0).normal(size=(2, channels, 3, 2))
    output, slope, (inputs,) = in_torch(
        lambda x: F.local_response_norm(x, n, alpha=alpha * n, beta=beta, k=2.0), images
    )
    close(response_norm(images, n=n, alpha=alpha, beta=beta), output)
    close(response_norm_backward(slope, images, n=n, alpha=alpha, beta=beta), inputs)


def test_the_gradient_is_the_numerical_one(numerical):
    images, slope = np.random.default_rng(0).normal(size=(2, 1, 6, 2, 2))
    found = response_norm_backward(slope, images, n=3, alpha=0.5)
    expected = numerical(lambda x: response_norm(x, n=3, alpha=0.5), images, slope)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_an_even_n_has_no_middle():
    with pytest.raises(ValueError, match="4 channels have no middle; give an odd n"):
        response_norm(np.ones((1, 5, 1, 1)), n=4)
