"""How the gradient shrinks or grows on its way back."""

import math

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ResourceError, UsageError
from striate.explanation import gradient_flow
from striate.nets import parse_net


def test_the_norms_are_those_of_autograd():
    net = parse_net("input 6x6x2 conv3-4 bn relu (conv3-4 + skip) dropout0.5 fc-3")
    flow = gradient_flow(net, batch=5, seed=3)
    torch.manual_seed(3)
    module = net.build()
    images = torch.randn(5, 2, 6, 6)
    outputs = module.stages(images)
    for output in outputs.values():
        output.retain_grad()
    F.cross_entropy(outputs["fc1"], torch.randint(3, (5,))).backward()
    assert [layer.name for layer in flow.layers] == list(outputs)
    for layer in flow.layers:
        assert layer.gradient == pytest.approx(float(outputs[layer.name].grad.norm()), rel=1e-5)
    found = {layer.name: layer for layer in flow.layers}
    head = module.layers.fc1
    expected = math.hypot(float(head.weight.grad.norm()), float(head.bias.grad.norm()))
    assert found["fc1"].weight_gradient == pytest.approx(expected, rel=1e-5)
    assert found["relu1"].weight_gradient is None
    assert (found["add1"].weight_gradient, found["add1"].text) == (None, "")
    assert found["conv2"].text == "conv3-4"
    assert flow.loss == "cross-entropy"


def test_a_deep_chain_of_logistic_units_vanishes():
    flow = gradient_flow("[fc-30 sigmoid]*10 fc-10", input=(8, 8, 1))
    assert flow.verdict == "vanishing"
    assert flow.ratio < 1e-6
    assert flow.sentence.startswith("Vanishing: the gradient at fc1 is ")
    assert " times that at fc11, a factor of 0.1" in flow.sentence


def test_a_deep_plain_net_explodes_and_skips_keep_it_level():
    plain, residual = (gradient_flow(net, batch=4) for net in ("plain110", "resnet110"))
    assert (plain.verdict, residual.verdict) == ("exploding", "steady")
    assert plain.ratio > 1e5
    assert residual.ratio < 1e3
    assert "skip connections keep it level" in plain.sentence
    assert residual.sentence.startswith("Steady: the gradient at conv1 is ")


def test_a_gradient_that_never_arrives():
    module = parse_net("fc-4 relu fc-3").build((2, 2, 1))
    with torch.no_grad():
        module.layers.fc1.bias.fill_(-1e3)
    flow = gradient_flow(module)
    assert flow.verdict == "vanishing"
    assert flow.sentence == "The gradient at fc1 is 0: nothing can be learned."
    with torch.no_grad():
        module.layers.fc1.bias.fill_(math.nan)
    flow = gradient_flow(module)
    assert flow.sentence == "The gradient at fc1 is nan: nothing can be learned."
    assert flow.to_json()["ratio"] is None
    assert flow.to_json()["layers"][0]["gradient"] is None


def test_a_net_that_gives_images_has_a_square_loss():
    flow = gradient_flow("conv3-4 maxpool2 conv3-4 unpool2 conv3-1", input=(8, 8, 1))
    assert flow.loss == "square"
    assert all(layer.gradient > 0 for layer in flow.layers)


def test_a_module_is_not_changed():
    module = parse_net("conv3-4 bn relu fc-3").build((8, 8, 2)).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    first, again = gradient_flow(module), gradient_flow(module)
    assert first == again
    assert first != gradient_flow(module, seed=1)
    assert not module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(weight.grad is None for weight in module.parameters())


@pytest.mark.parametrize("net", ["perceptron", "gap softmax"])
def test_there_is_no_way_through_one_layer(net):
    flow = gradient_flow(net, input=None if net == "perceptron" else (2, 2, 3))
    assert flow.sentence == "Steady: there is no way from one layer with weights to another."
    assert flow.ratio == 1


def test_what_is_too_large_is_refused():
    with pytest.raises(ResourceError, match="GiB; the limit is 8 GiB"):
        gradient_flow("vgg16", batch=512)
    with pytest.raises(UsageError, match="a batch of 1"):
        gradient_flow("lenet5", batch=1)
    assert striate.gradient_flow is gradient_flow
