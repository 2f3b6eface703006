"""Small convolutions, activations and pooling as one operator, against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.kernels import TRUNK_ACTIVATIONS, TrunkLayer, can_run_trunk, load_library, run_trunk

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

ACTIVATIONS = {
    "identity": lambda z: z, "relu": torch.relu, "gelu": F.gelu, "silu": F.silu,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid,
}  # fmt: skip
POOLINGS = {
    "none": lambda z, act: act(z),
    "max": lambda z, act: act(F.max_pool2d(z, 2)),
    "average before": lambda z, act: act(F.avg_pool2d(z, 2)),
    "average after": lambda z, act: F.avg_pool2d(act(z), 2),
}


def by_pytorch(x, layers, parameters):
    for place, layer in enumerate(layers):
        weight, bias = parameters[2 * place : 2 * place + 2]
        z = F.conv2d(x, weight, bias, padding=layer.padding)
        x = POOLINGS[layer.pooling](z, ACTIVATIONS[layer.activation])
    return x


def draw_parameters(layers, kernels, windows, channels, *, bias=True):
    parameters = []
    for count, window in zip(kernels, windows, strict=True):
        fan_in = channels * window[0] * window[1]
        parameters.append((torch.randn(count, channels, *window) / fan_in**0.5).requires_grad_())
        parameters.append(torch.randn(count).requires_grad_() if bias else None)
        channels = count
    return parameters


def gradients(y, dy, inputs):
    return [y.detach(), *torch.autograd.grad(y, [t for t in inputs if t is not None], dy)]


@st.composite
def trunks(draw):
    """Layers that fit on images, with the kernels and windows of each, and the images' shape."""
    height, width = shape = draw(st.tuples(st.integers(3, 20), st.integers(3, 20)))
    layers, kernels, windows = [], [], []
    for _ in range(draw(st.integers(1, 3))):
        window = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
        padding = tuple(draw(st.integers(0, f - 1)) for f in window)
        pooling = draw(st.sampled_from(sorted(POOLINGS)))
        pool = 1 if pooling == "none" else 2
        after = [
            (size + 2 * p - f + 1) // pool
            for size, p, f in zip((height, width), padding, window, strict=True)
        ]
        if min(after) < 1:
            break
        height, width = after
        layers.append(TrunkLayer(padding, draw(st.sampled_from(TRUNK_ACTIVATIONS)), pooling))
        kernels.append(draw(st.sampled_from([1, 3, 6, 7, 16])))
        windows.append(window)
    images, channels = draw(st.sampled_from([1, 2, 16, 17, 33])), draw(st.integers(1, 5))
    return layers, kernels, windows, (images, channels, *shape)


# The same examples each time: where two values of a window are as good as equal, the gradient's
# place is a matter of rounding, and among all random windows there are such.
@settings(deadline=None, max_examples=40, derandomize=True)
@given(trunk=trunks(), bias=st.booleans(), last=st.booleans(), seed=st.integers(0, 99))
def test_values_and_gradients(processor, trunk, bias, last, seed):
    layers, kernels, windows, shape = trunk
    if not layers:
        return
    torch.manual_seed(seed)
    form = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(shape).contiguous(memory_format=form).requires_grad_()
    parameters = draw_parameters(layers, kernels, windows, shape[1], bias=bias)
    parameters = [
        p.detach().contiguous(memory_format=form).requires_grad_()
        if p is not None and p.ndim == 4 else p
        for p in parameters
    ]  # fmt: skip
    y = run_trunk(x, layers, parameters)
    dy = torch.randn(y.shape)
    found = gradients(y, dy, [x, *parameters])
    doubles = [
        None if t is None else t.detach().double().requires_grad_() for t in (x, *parameters)
    ]
    right = gradients(by_pytorch(doubles[0], layers, doubles[1:]), dy.double(), doubles)
    for mine, theirs in zip(found, right, strict=True):
        scale = theirs.abs().max().clamp_min(1e-6)
        assert ((mine - theirs).abs().max() / scale) < 1e-4
    for mine, like in zip(found[1:], [t for t in (x, *parameters) if t is not None], strict=True):
        assert mine.stride() == like.stride()
    with torch.no_grad():
        assert torch.equal(run_trunk(x, layers, parameters), y)


def root_mean_square(x):
    return float(x.double().square().mean().sqrt())


@pytest.mark.parametrize("window", [(3, 3), (5, 5), (2, 5), (5, 3), (4, 4), (1, 7)])
@pytest.mark.parametrize("shape", [(19, 6, 13, 11), (16, 20, 9, 16), (5, 33, 8, 7)])
def test_filtered_rows_are_exact_to_rounding(processor, window, shape):
    torch.manual_seed(0)
    layers = [TrunkLayer((1, 1) if min(window) > 1 else (0, 3), "tanh"), TrunkLayer()]
    parameters = draw_parameters(layers, [21, 9], [window, (3, 3)], shape[1])
    x = torch.randn(shape).requires_grad_()
    y = run_trunk(x, layers, parameters)
    dy = torch.randn(y.shape)
    doubles = [t.detach().double().requires_grad_() for t in (x, *parameters)]
    right = gradients(by_pytorch(doubles[0], layers, doubles[1:]), dy.double(), doubles)
    for mine, theirs in zip(gradients(y, dy, [x, *parameters]), right, strict=True):
        assert root_mean_square(mine - theirs) < 1.5e-6 * root_mean_square(theirs)


def test_images_that_need_no_gradient_get_none():
    layers = [TrunkLayer((1, 1), "relu", "max"), TrunkLayer()]
    parameters = draw_parameters(layers, [4, 5], [(3, 3), (2, 3)], 2)
    x = torch.randn(5, 2, 9, 8)
    y = run_trunk(x, layers, parameters)
    y.sum().backward()
    assert x.grad is None
    assert all(p.grad is not None for p in parameters)


def test_gradients_of_gradients_are_refused():
    parameters = draw_parameters([TrunkLayer()], [4], [(3, 3)], 2)
    y = run_trunk(torch.randn(5, 2, 9, 8), [TrunkLayer((0, 0), "tanh")], parameters)
    gradient = torch.autograd.grad(y.square().sum(), parameters[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_count_of_threads_changes_no_bit(threads_restored):
    torch.manual_seed(0)
    layers = [TrunkLayer((0, 0), "tanh", "average after"), TrunkLayer((2, 2), "relu", "max")]
    parameters = draw_parameters(layers, [6, 16], [(5, 5), (5, 5)], 1)
    x = torch.randn(100, 1, 20, 20, requires_grad=True)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = run_trunk(x, layers, parameters)
        results.append(gradients(y, torch.ones_like(y), [x, *parameters]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.fixture
def threads_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_tanh_and_sigmoid_to_three_units_in_the_last_place(processor, name):
    sizes = np.concatenate([np.linspace(0, 12, 60_000), np.geomspace(1e-30, 80, 60_000)])
    z = torch.from_numpy(np.concatenate([sizes, -sizes]).astype(np.float32))
    weight = torch.ones(1, 1, 1, 1)
    found = run_trunk(z.view(16, 1, 100, -1), [TrunkLayer((0, 0), name)], [weight, None])
    right = ACTIVATIONS[name](z.double()).numpy()
    unit = np.spacing(np.abs(right).astype(np.float32))
    assert (np.abs(found.flatten().numpy() - right) / unit).max() < 3
    assert found.abs().max() <= 1


@pytest.mark.parametrize("name", TRUNK_ACTIVATIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_is_no_number_stays_so(processor, name, pooling):
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 1] = torch.nan
    y = run_trunk(x, [TrunkLayer((0, 0), name, pooling)], [torch.ones(1, 1, 1, 1), None])
    assert y.isnan().sum() == 1


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_infinite_values_reach_the_ends(processor, name):
    x = torch.tensor([torch.inf, -torch.inf, 1e30, -1e30]).view(1, 1, 2, 2)
    y = run_trunk(x, [TrunkLayer((0, 0), name)], [torch.ones(1, 1, 1, 1), None])
    assert torch.allclose(y, ACTIVATIONS[name](x), atol=1e-30)


def test_which_images_it_takes():
    x = torch.zeros(2, 1, 4, 4)
    assert can_run_trunk(x)
    assert not can_run_trunk(x.double())
    assert not can_run_trunk(x[0])
    assert not can_run_trunk(x[:0])
    assert not can_run_trunk(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_run_trunk(x)
