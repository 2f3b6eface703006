"""Whole nets: outputs and every gradient of the reference are those of PyTorch."""

import numpy as np
import pytest
import torch

from striate.explanation.reference_net import reference_net
from striate.nets import load_net, parse_net
from striate.reference import LOSSES, backward, forward, one_hot

TINY_RESIDUAL = """
input 8x8x3
unit(n) = (conv3-n bn relu conv3-n bn + skip) relu
down(n) = (conv3-n/2 bn relu conv3-n bn + conv1-n/2 bn) relu
conv3-4 bn relu unit(4) down(6) unit(6) gap fc-3
"""
INCEPTION = """
input 8x8x3
inception = (conv1-2 relu | conv1-2 relu conv3-3 relu | conv1-1 conv5-2 | maxpool3/1p1 conv1-2)
conv3-4 relu lrn inception maxpool3/2p1 inception dropout0.5 gap fc-4
"""
AUTOENCODER = """
input 8x8x2
conv3-4 tanh maxpool2 conv3-3 sigmoid maxpool2 fc-5 code fc-12 reshape2x2x3
unpool2 conv3-4 leaky unpool2 tconv3-3 gelu conv3-2
"""
NETS = {
    "lenet5": load_net("lenet5").text,
    "residual": TINY_RESIDUAL,
    "inception": INCEPTION,
    "autoencoder": AUTOENCODER,
    "up": "input 3x4x2 nearest2x1 conv3-3/2 silu nails2 tconv3-4/2c gelu l2pool3/2p1 ln fc-3",
    "windows": "input 9x8x4 conv3x2-6/2x1p1x0g2d2 relu conv3-4/2c avgpool2c tconv2-2/2g2d2 fc-2",
    "local": "input 6x5x2 local3-4g2 tanh local2x3-2/2p1d2b0 tanh local3-2/3c identity fc-2b0",
    "norms": "input 4x4x3 whiten2 bnw0e1e-3 relu conv1-2 ln fc-5 bn softmax fc-4 bnw0 scale1/7",
    "branches": "input 4x4x2 ((conv1-2 | skip) + (skip | conv3-2 relu)) (skip + skip) gap",
}


def built(net, size):
    torch.manual_seed(0)
    module = net.build(size).double().train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.eval()
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter) * 0.5
    return module


def named_tensors(module, gradient=False):
    """Every weight by the layer's own name; locally connected ones in the reference's shape."""
    found = {}
    for path, layer in module.named_modules():
        name = path.rsplit(".", 1)[-1]
        tensors = [*layer.named_parameters(recurse=False)]
        if not gradient:
            tensors += [t for t in layer.named_buffers(recurse=False) if t[0] == "weight"]
        for kind, tensor in tensors:
            array = (tensor.grad if gradient else tensor.detach()).numpy()
            if hasattr(layer, "window") and array.ndim == 3 and kind == "weight":
                array = as_windows(array, layer)
            found[f"{name}.{kind}"] = array
    return found


def as_windows(array, layer):
    """(Ho*Wo, K, C*Fh*Fw) -> (K, C, Fh, Fw, Ho, Wo)."""
    height, width = layer.outputs[1:]
    split = array.reshape(height, width, array.shape[1], -1, *layer.window["kernel_size"])
    return split.transpose(2, 3, 4, 5, 0, 1)


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_all_gradients_are_pytorchs(name):
    net = parse_net(NETS[name])
    module = built(net, net.input)
    height, width, channels = net.input
    generator = np.random.default_rng(1)
    images = generator.standard_normal((2, channels, height, width))
    tensor = torch.from_numpy(images).requires_grad_()
    expected = module(tensor)
    slope = generator.standard_normal(tuple(expected.shape))
    expected.backward(torch.from_numpy(slope))

    arrays = named_tensors(module)

    def weights(name, shape):
        assert arrays[name].shape == shape
        return arrays[name]

    layers = reference_net(net.trace(), weights)
    values = forward(layers, images)
    last = layers[-1].name
    found = backward(values, last, slope)
    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(values[last].value, expected.detach(), **close)
    np.testing.assert_allclose(found["input"], tensor.grad, **close)
    expected_gradients = named_tensors(module, gradient=True)
    assert expected_gradients
    for weight, gradient in expected_gradients.items():
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(found[weight], gradient, err_msg=weight, **close)
    frozen = {f"{layer.name}.{kind}" for layer in layers for kind in layer.weights}
    assert frozen - expected_gradients.keys() == ({"whiten1.weight"} if name == "norms" else set())


def test_every_stage_is_pytorchs():
    net = parse_net(INCEPTION)
    module = built(net, net.input)
    images = np.random.default_rng(0).standard_normal((1, 3, 8, 8))
    arrays = named_tensors(module)
    values = forward(reference_net(net.trace(), lambda name, _: arrays[name]), images)
    stages = module.stages(torch.from_numpy(images))
    assert len(stages) > 20
    for name, stage in stages.items():
        np.testing.assert_allclose(values[name].value, stage.detach(), rtol=1e-10, atol=1e-10)


def test_a_training_step_through_the_loss_is_pytorchs():
    """The loss's gradient goes in at the end; a step of gradient descent lowers the loss."""
    net = parse_net("input 5x5x1 conv3-3 relu fc-4")
    module = built(net, net.input)
    generator = np.random.default_rng(2)
    images, labels = generator.standard_normal((6, 1, 5, 5)), generator.integers(0, 4, 6)
    loss, gradient = LOSSES["cross_entropy"]
    value = torch.nn.functional.cross_entropy(
        module(torch.from_numpy(images)), torch.from_numpy(labels)
    )
    value.backward()
    arrays = dict(named_tensors(module))

    def run(arrays):
        values = forward(reference_net(net.trace(), lambda name, _: arrays[name]), images)
        return values, values["fc1"].value

    values, logits = run(arrays)
    shares = one_hot(labels, 4)
    assert loss(logits, shares) == pytest.approx(value.item(), rel=1e-12)
    found = backward(values, "fc1", gradient(logits, shares))
    for name, expected in named_tensors(module, gradient=True).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-10, atol=1e-14)
    stepped = {name: array - 0.1 * found[name] for name, array in arrays.items()}
    assert loss(run(stepped)[1], shares) < loss(logits, shares)


def test_dropout_drops_by_its_generator_and_scales_the_rest():
    net = parse_net("input 10x10x1 dropout0.25 fc-2")

    def values(seed):
        generator = None if seed is None else np.random.default_rng(seed)
        layers = reference_net(net.trace(), lambda _, shape: np.ones(shape), generator=generator)
        return forward(layers, np.ones((2, 1, 10, 10)))["dropout1"].value

    assert (values(None) == 1).all()
    kept = values(0)
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert 0.1 < (kept == 0).mean() < 0.4
    assert (kept == values(0)).all()
    assert (kept != values(1)).any()
