"""Backpropagation over a graph: the decks' example, numerical differences, PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.reference.functions import (
    absolute,
    activation,
    cos,
    exp,
    log,
    maximum,
    minimum,
    sin,
    sqrt,
)
from striate.reference.graph import Node, gradients, topological_order, total, variable

STEP = 1e-5
NUMBERS = st.floats(-3, 3)
POSITIVE = st.floats(0.2, 3)


def numerical(function, *values):
    """Central differences of a function of nodes, to each of its arguments."""
    slopes = []
    for place in range(len(values)):
        ends = []
        for move in (-STEP, STEP):
            moved = [variable(v + move * (i == place)) for i, v in enumerate(values)]
            ends.append(float(function(*moved).value))
        slopes.append((ends[1] - ends[0]) / (2 * STEP))
    return slopes


def analytic(function, *values):
    nodes = [variable(value) for value in values]
    found = gradients(function(*nodes))
    return [float(found[node]) for node in nodes]


def test_the_example_of_deck_001():
    x, y, z = variable(-2), variable(5), variable(-4)
    q = x + y
    f = q * z
    found = gradients(f)
    assert (q.value, f.value) == (3, -12)
    assert [found[node] for node in (x, y, q, z, f)] == [-4, -4, -4, 3, 1]


def test_the_logistic_function_of_the_logistic_function():
    """Deck 001: s(s(z))' = s(s(z)) (1 - s(s(z))) s(z) (1 - s(z))."""
    z = variable(0.7)
    s = activation("sigmoid", z)
    t = activation("sigmoid", s)
    expected = t.value * (1 - t.value) * s.value * (1 - s.value)
    assert gradients(t)[z] == pytest.approx(expected, rel=1e-15)


def test_a_value_used_twice_gets_the_sum_of_its_parts():
    x = variable(3)
    square = x * x
    assert gradients(square * x)[x] == 27
    assert gradients(x + x + x)[x] == 3


def test_a_chain_of_thousands_needs_no_recursion():
    x = node = variable(1)
    for _ in range(5000):
        node = node + x
    assert gradients(node)[x] == 5001


def test_inputs_come_before_what_is_made_of_them():
    x, y = variable(1), variable(2)
    f = (x + y) * (x - y) / y
    order = topological_order(f)
    assert len(order) == 6
    for place, node in enumerate(order):
        assert all(order.index(source) < place for source in node.inputs)


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: (2 - a) * (b + 1) * (3 * a) + (-b),
        lambda a, b: sin(a) * cos(b),
        lambda a, b: exp(a) - 1.5 * b,
    ],
)
@given(a=NUMBERS, b=NUMBERS)
@settings(deadline=None, max_examples=25)
def test_operations_agree_with_numerical_differences(operation, a, b):
    assert analytic(operation, a, b) == pytest.approx(
        numerical(operation, a, b), rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b: a / b,
        lambda a, b: 2 / a + b,
        lambda a, b: a**b,
        lambda a, b: a**3 - b**-0.5,
        lambda a, b: 2**a * b,
        lambda a, b: log(a) * sqrt(b),
        lambda a, b: absolute(a) + absolute(-b),
    ],
)
@given(a=POSITIVE, b=POSITIVE)
@settings(deadline=None, max_examples=25)
def test_operations_on_positive_numbers_likewise(operation, a, b):
    assert analytic(operation, a, b) == pytest.approx(
        numerical(operation, a, b), rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize("extreme", [maximum, minimum])
@given(a=NUMBERS, gap=st.floats(0.01, 2), larger=st.booleans())
@settings(deadline=None, max_examples=25)
def test_extremes_agree_with_numerical_differences(extreme, a, gap, larger):
    b = a + gap if larger else a - gap
    assert analytic(extreme, a, b) == pytest.approx(numerical(extreme, a, b), abs=1e-6)


@pytest.mark.parametrize("extreme", [maximum, minimum])
def test_equals_share_the_derivative(extreme):
    assert analytic(extreme, 2.0, 2.0) == [0.5, 0.5]


def test_a_negative_base_has_a_derivative_where_the_exponent_is_a_number():
    assert analytic(lambda a: a**3, -2.0) == [12.0]


def test_a_small_net_of_matrices_agrees_with_pytorch():
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape) for shape in ((5, 4), (4, 3), (3,), (3, 2), (1, 2))]

    def loss(x, v, b, w, c, tanh, summed):
        return summed((tanh(x @ v + b) @ w + c) ** 2)

    nodes = [variable(array) for array in arrays]
    result = loss(*nodes, lambda x: activation("tanh", x), total)
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    expected = loss(*tensors, torch.tanh, torch.sum)
    expected.backward()
    assert result.value == pytest.approx(expected.item(), rel=1e-12)
    found = gradients(result)
    for node, tensor in zip(nodes, tensors, strict=True):
        np.testing.assert_allclose(found[node], tensor.grad, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shapes", [((3, 4), (4,)), ((2, 1), (1, 3)), ((), (2, 2)), ((1,), (3, 1))])
def test_broadcasting_is_undone(shapes):
    generator = np.random.default_rng(1)
    a, b = (variable(generator.uniform(1, 2, shape)) for shape in shapes)
    found = gradients(total(a * b / (a + b)))
    tensors = [torch.from_numpy(node.value).requires_grad_() for node in (a, b)]
    (tensors[0] * tensors[1] / (tensors[0] + tensors[1])).sum().backward()
    for node, tensor in zip((a, b), tensors, strict=True):
        assert found[node].shape == node.value.shape
        np.testing.assert_allclose(found[node], tensor.grad, rtol=1e-12)


def test_a_slope_from_further_on():
    x = variable([1.0, 2.0])
    found = gradients(x * x, np.array([10.0, 100.0]))
    assert found[x].tolist() == [20, 400]


def test_a_node_is_itself_alone():
    assert variable(1) != variable(1)
    assert isinstance(1 + variable(1), Node)
