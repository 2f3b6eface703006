"""Every operator's time goes to the pass and the layer that it works for."""

import pytest
import torch
from torch.utils.flop_counter import flop_registry, register_flop_formula

from striate.nets import parse_net
from striate.training.operators import OperatorTimes
from striate.training.phases import multiplying_layers

CPU = torch.device("cpu")
ALL = ("forward", "input gradient", "weight gradient")


def weights_of(module):
    return {layer.name: layer.weights for layer in multiplying_layers(module)}


def timed_step(module, *, images=6, precision="fp32"):
    """The operators of one forward and backward pass on random images."""
    torch.manual_seed(0)
    height, width, channels = module.input
    x = torch.randn(images, channels, height, width).to(memory_format=torch.channels_last)
    module = module.to(memory_format=torch.channels_last)
    with OperatorTimes(weights_of(module), CPU) as times:
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
    with OperatorTimes(weights_of(module), CPU):
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
        with OperatorTimes({}, CPU) as times:
            work()
        assert times.moved == moved


def test_products_without_a_layers_weights_are_pointwise():
    x = torch.randn(16, 16)
    with OperatorTimes({"fc1": torch.randn(16, 16)}, CPU) as times:
        x @ x
    assert not times.products
    assert times.pointwise > 0


@pytest.fixture(scope="module")
def own_operators():
    """Operators as other packages define them: one that multiplies and says so, and one other."""
    library = torch.library.Library("striate_bench_test", "DEF")
    library.define("clip(Tensor x, float most) -> Tensor")
    library.impl("clip", lambda x, most: x.clamp(max=most), "CPU")
    library.define("full(Tensor x, Tensor weight) -> Tensor")
    library.impl("full", lambda x, weight: x @ weight.T, "CPU")
    library.define("full_back(Tensor gradient, Tensor x, Tensor weight) -> (Tensor, Tensor)")
    library.impl(
        "full_back", lambda gradient, x, weight: (gradient @ weight, gradient.T @ x), "CPU"
    )
    operators = torch.ops.striate_bench_test

    @register_flop_formula([operators.full, operators.full_back])
    def flop(x_shape, weight_shape, *_, out_shape=None, **__):
        return 2 * x_shape[0] * x_shape[1] * weight_shape[0]

    yield operators
    for packet in (operators.full, operators.full_back):
        flop_registry.pop(packet)


def test_operators_of_our_own_need_no_list(own_operators):
    x, weight = torch.randn(6, 8), torch.randn(4, 8)
    with OperatorTimes({"fc1": weight}, CPU) as times:
        own_operators.full(own_operators.clip(x, 1.0), weight)
    assert set(times.products) == {("fc1", "forward")}
    assert times.moved == 2 * x.nbytes
    assert times.pointwise > 0


def test_one_operator_for_both_gradients_counts_half_to_each(own_operators):
    x, weight, gradient = torch.randn(6, 8), torch.randn(4, 8), torch.randn(6, 4)
    with OperatorTimes({"fc1": weight}, CPU) as times:
        own_operators.full(x, weight)
        own_operators.full_back(gradient, x, weight)
    assert set(times.products) == {("fc1", one) for one in ALL}
    assert times.products["fc1", "input gradient"] == times.products["fc1", "weight gradient"]


def test_memory_that_is_used_again_is_not_taken_for_weights():
    """The cast of weights that nobody keeps is freed, and its place soon holds something else."""
    weight, other, x = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8, 8)
    with OperatorTimes({"fc1": weight, "fc2": other}, CPU) as times:
        x @ weight.to(torch.float64).float()
        for _ in range(20):
            y = torch.randn(8, 8, dtype=torch.float64).float()
            del y
        y = torch.relu(x)
        y @ other
    assert set(times.products) == {("fc1", "forward"), ("fc2", "forward")}
