"""Every operator's time goes to the pass and the layer that it works for."""

import pytest
import torch

from striate.nets import parse_net
from striate.nets.graph import Volume
from striate.nets.work import Work
from striate.training.multiplying import MultiplyingLayer, multiplying_layers
from striate.training.operators import OperatorTimes

CPU = torch.device("cpu")
ALL = ("forward", "input gradient", "weight gradient")


def full(name, weights, *, trained=True):
    """A fully connected layer with these weights, (K, C)."""
    units, inputs = weights.shape
    work = Work(
        layers=(),
        join="",
        input=Volume(1, 1, inputs, flat=True),
        output=Volume(1, 1, units, flat=True),
        multiply_adds=units * inputs,
        trained=trained,
    )
    return MultiplyingLayer(name, f"fc-{units}", work, weights)


def timed_step(module, *, images=6, precision="fp32"):
    """The operators of one forward and backward pass on random images."""
    torch.manual_seed(0)
    height, width, channels = module.input
    x = torch.randn(images, channels, height, width).to(memory_format=torch.channels_last)
    module = module.to(memory_format=torch.channels_last)
    with OperatorTimes(multiplying_layers(module), CPU) as times:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            y = module(x)
        torch.autograd.backward(y.float().square().mean())
    return times


NETS = {
    "convolutions": "conv3-8 bn relu maxpool2 conv3-8/2 tanh conv1-4 relu fc-10",
    "groups": "conv3-8 relu conv3-8g4 relu conv3-8g8d2 relu gap fc-3",
    "not shared": "conv3-4 relu local3-6 relu local3-6g2 relu fc-3",
    "full": "fc-20 relu fc-20 relu fc-20 relu fc-6",
    "branches": "conv3-8 relu (conv1-4 relu | conv3-4 relu conv3-4 | maxpool3/1p1) fc-8 relu fc-3",
    "branches of full layers": "fc-16 relu (fc-8 relu | fc-8 relu | fc-5) fc-3",
    "residual": "conv3-8 relu (conv3-8 bn relu conv3-8 bn + skip) relu gap fc-3",
    "transposed": "conv3-8/2 relu tconv2-4/2 relu fc-3",
    "rounded up": "conv3-8/2p0c relu conv3-8/2p0c relu fc-3",
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("text", NETS.values(), ids=NETS)
def test_every_pass_of_every_layer_is_found_once(text, precision):
    module = parse_net(f"input 12x12x3 {text}").build()
    times = timed_step(module, precision=precision)
    names = [layer.name for layer in multiplying_layers(module)]
    first = {layer.name for layer in multiplying_layers(module) if not layer.work.trained}
    expected = {(name, one) for name in names for one in ALL}
    expected -= {(name, "input gradient") for name in first}
    assert set(times.products) == expected
    assert min(times.products.values()) > 0
    assert times.pointwise > 0


def test_frozen_weights_have_no_gradient_and_their_bias_is_pointwise():
    module = parse_net("input 12x12x3 whiten2 gelu conv3-8 relu fc-4").build()
    found = set(timed_step(module).products)
    assert ("whiten1", "forward") in found
    assert ("conv1", "input gradient") in found  # the whitening's bias asks for it
    assert ("whiten1", "weight gradient") not in found
    module.layers.whiten1.bias.requires_grad_(False)
    assert ("conv1", "input gradient") not in timed_step(module).products


def test_a_layer_that_is_frozen_passes_gradients_on():
    module = parse_net("input 8x8x3 conv3-8 relu conv3-8 relu fc-4").build()
    module.layers.conv2.weight.requires_grad_(False)
    found = set(timed_step(module).products)
    assert ("conv2", "input gradient") in found
    assert ("conv2", "weight gradient") not in found
    assert ("conv1", "weight gradient") in found


def test_gradients_are_the_same_as_without_it():
    module = parse_net("input 12x12x3 conv3-8 bn relu (conv1-4 | local3-4) maxpool2 fc-5").build()
    x = torch.randn(4, 3, 12, 12)
    torch.autograd.backward(module(x).square().mean())
    plain = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    with OperatorTimes(multiplying_layers(module), CPU):
        torch.autograd.backward(module(x).square().mean())
    for parameter, gradient in zip(module.parameters(), plain, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_bytes_are_those_read_and_written():
    x, bias = torch.randn(8, 32), torch.randn(32)
    cases = {
        (lambda: torch.relu(x)): 2 * x.nbytes,
        (lambda: x.add_(1)): 2 * x.nbytes,
        (lambda: x + bias): 2 * x.nbytes + bias.nbytes,
        (lambda: x + bias[:1].expand(8, 32)): 2 * x.nbytes + bias.nbytes,
        (lambda: x.view(4, 64).transpose(0, 1)[1:]): 0,
        (lambda: x.to(torch.bfloat16)): x.nbytes + x.nbytes // 2,
        (lambda: torch.cat([x, x])): 4 * x.nbytes,
    }
    for work, moved in cases.items():
        with OperatorTimes([], CPU) as times:
            work()
        assert times.moved == moved


def test_products_without_a_layers_weights_are_pointwise():
    x = torch.randn(16, 16)
    with OperatorTimes([full("fc1", torch.randn(16, 16))], CPU) as times:
        x @ x
    assert not times.products
    assert times.pointwise > 0


@pytest.fixture(scope="module")
def own_operators():
    """Operators as another library defines them; none says what it does."""
    library = torch.library.Library("striate_bench_test", "DEF")

    def define(schema, function):
        library.define(schema)
        library.impl(schema.partition("(")[0], function, "CPU")

    define("clip(Tensor x, float most) -> Tensor", lambda x, most: x.clamp(max=most))
    define("normal(Tensor x, Tensor gain) -> (Tensor, Tensor)", lambda x, gain: (x * gain, x + 1))
    define("pack(Tensor weight) -> Tensor", lambda weight: weight.clone())
    define("full(Tensor x, Tensor weight) -> Tensor", lambda x, weight: x @ weight.T)
    define("of_input(Tensor dy, Tensor weight) -> Tensor", lambda dy, weight: dy @ weight)
    define("of_weight(Tensor dy, Tensor x) -> Tensor", lambda dy, x: dy.T @ x)
    define(
        "of_both(Tensor dy, Tensor x, Tensor weight) -> (Tensor, Tensor)",
        lambda dy, x, weight: (dy @ weight, dy.T @ x),
    )
    define(
        "trunk(Tensor x, Tensor[] weights) -> Tensor",
        lambda x, weights: x @ weights[0].T @ weights[1].T,
    )
    define(
        "trunk_back(Tensor dy, Tensor[] weights) -> Tensor",
        lambda dy, weights: torch.cat([weight.flatten() for weight in weights]),
    )
    yield torch.ops.striate_bench_test  # noqa: PT022 - the library lives as long as this frame


X, WEIGHT, DY = torch.randn(6, 8), torch.randn(4, 8), torch.randn(6, 4)


def test_operators_of_our_own_that_do_no_products_are_pointwise(own_operators):
    gain = torch.randn(8)
    with OperatorTimes([full("fc1", WEIGHT)], CPU) as times:
        own_operators.normal(own_operators.clip(X, 1.0), gain)
        packed = own_operators.pack(WEIGHT)
        assert not times.products
        assert times.moved == 2 * X.nbytes + (3 * X.nbytes + gain.nbytes) + 2 * WEIGHT.nbytes
        own_operators.full(X, packed)
    assert set(times.products) == {("fc1", "forward")}


def test_operators_of_our_own_that_do_one_gradient_each(own_operators):
    with OperatorTimes([full("fc1", WEIGHT)], CPU) as times:
        own_operators.full(X, WEIGHT)
        own_operators.of_input(DY, WEIGHT)
        assert set(times.products) == {("fc1", "forward"), ("fc1", "input gradient")}
        own_operators.clip(X, 1.0)  # reads what the layer took, and is no gradient of its
        own_operators.of_weight(DY, X)
    assert set(times.products) == {("fc1", one) for one in ALL}


def test_one_operator_for_both_gradients_counts_half_to_each(own_operators):
    with OperatorTimes([full("fc1", WEIGHT)], CPU) as times:
        own_operators.full(X, WEIGHT)
        own_operators.of_both(DY, X, WEIGHT)
    assert set(times.products) == {("fc1", one) for one in ALL}
    assert times.products["fc1", "input gradient"] == times.products["fc1", "weight gradient"]


def test_one_operator_for_several_layers_is_shared_out_by_their_products(own_operators):
    first = full("fc1", torch.randn(4, 8, requires_grad=True), trained=False)
    second = full("fc2", torch.randn(2, 4, requires_grad=True))
    weights = [first.weights, second.weights]
    with torch.no_grad(), OperatorTimes([first, second], CPU) as times:
        own_operators.trunk(X, weights)
        forward = dict(times.products)
        assert set(forward) == {("fc1", "forward"), ("fc2", "forward")}
        own_operators.trunk_back(torch.randn(6, 2), weights[1:])
    assert forward["fc1", "forward"] == pytest.approx(4 * forward["fc2", "forward"])
    gradients = set(times.products) - set(forward)
    assert gradients == {
        ("fc1", "weight gradient"),
        ("fc2", "input gradient"),
        ("fc2", "weight gradient"),
    }
    of_first, *of_second = (times.products[one] for one in sorted(gradients))
    assert of_second == pytest.approx([of_first / 4] * 2)


def test_memory_that_is_used_again_is_not_taken_for_weights():
    """The cast of weights that nobody keeps is freed, and its place soon holds something else."""
    weight, other, x = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8, 8)
    with OperatorTimes([full("fc1", weight), full("fc2", other)], CPU) as times:
        x @ weight.to(torch.float64).float()
        for _ in range(20):
            y = torch.randn(8, 8, dtype=torch.float64).float()
            del y
        y = torch.relu(x)
        y @ other
    assert set(times.products) == {("fc1", "forward"), ("fc2", "forward")}
