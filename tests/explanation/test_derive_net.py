"""Small nets with all their numbers: the gradients are PyTorch's, the page can be read."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import NetError, UsageError
from striate.explanation import NetDerivation
from striate.explanation.derive_net import LOSS_NAMES, derive_net
from striate.explanation.layer_rules import rule_of
from striate.explanation.matrices import matrix_lines
from striate.nets import graph, parse_net


def derive(text, **options):
    return derive_net(parse_net(text), **options)


def arrays(found, kind):
    return {
        f"{layer.name}.{s.name}": getattr(s, kind) for layer in found.layers for s in layer.arrays
    }


def numpy_net(text):
    """The net and the image, with their drawn numbers, as PyTorch's."""
    found = derive(text)
    values = arrays(found, "value")
    module = parse_net(text).build().double().train()
    named = {name.removeprefix("layers."): weight for name, weight in module.named_parameters()}
    for name, weight in named.items():
        weight.data = torch.from_numpy(values[name].copy())
    image = torch.from_numpy(values["input.image"].copy())[None].requires_grad_()
    return module, named, image


@pytest.mark.parametrize(
    ("text", "options", "loss"),
    [
        ("input 1x1x3 fc-2 relu fc-1", {}, lambda out, image: out.sum()),
        (
            "input 4x4x1 conv3-2 bn relu maxpool2 fc-3",
            {"label": 2},
            lambda out, image: F.cross_entropy(out, torch.tensor([2])),
        ),
        (
            "input 3x3x2 conv2-2 tanh gap fc-2",
            {"loss": "square", "label": 1},
            lambda out, image: (out - torch.tensor([[0.0, 1.0]])).square().sum(),
        ),
        (
            "input 1x1x4 fc-2 sigmoid fc-4",
            {"loss": "reconstruction"},
            lambda out, image: (out - image.flatten(1)).square().sum(),
        ),
        ("input 2x2x2 tconv2-3/2 silu", {}, lambda out, image: out.sum()),
    ],
)
def test_values_and_derivatives_are_pytorchs(text, options, loss):
    found = derive(text, **options)
    module, named, image = numpy_net(text)
    value = loss(module(image), image.detach())
    value.backward()
    assert found.value == pytest.approx(value.item(), rel=1e-12)
    slopes = arrays(found, "derivative")
    np.testing.assert_allclose(slopes["input.image"], image.grad[0], atol=1e-12)
    assert named
    for name, weight in named.items():
        np.testing.assert_allclose(slopes[name], weight.grad, atol=1e-12, err_msg=name)


def test_numbers_are_drawn_in_tenths_by_the_seed():
    first, again, other = (derive("input 1x1x3 fc-2 relu fc-1", seed=s) for s in (0, 0, 1))
    values = arrays(first, "value")
    for name in ("input.image", "fc1.weight", "fc1.bias"):
        np.testing.assert_allclose(10 * values[name], (10 * values[name]).round(), atol=1e-9)
    assert str(first) == str(again) != str(other)


def test_the_page():
    text = str(derive("input 1x1x3 fc-2 relu fc-1"))
    assert text.splitlines()[0].split() == [
        "value,", "read", "down", "df/d(value),", "read", "up",
    ]  # fmt: skip
    for part in ("fc1         fc-2", "df/dx = W^T df/dy", "  weight    [ ", "f = the output = "):
        assert part in text
    narrow = derive("input 1x1x3 fc-2 relu fc-1").page(width=40)
    numbers = [line for line in narrow[1:] if line[0].startswith("  ")]
    assert max(len("".join(line)) for line in numbers) <= 40
    assert ("  df/d      ", "", "[ 0.18  0.45  0.09 ]") in narrow


def test_dropout_and_branches_are_shown():
    found = derive("input 2x2x2 (conv1-2 + skip) dropout0.5 gap")
    assert [layer.name for layer in found.layers] == [
        "input", "conv1", "add1", "dropout1", "gap1", "flatten",
    ]  # fmt: skip
    values, slopes = arrays(found, "value"), arrays(found, "derivative")
    dropped = values["dropout1.output"] == 0
    assert 0 < dropped.sum() < 8
    assert (slopes["add1.output"][dropped] == 0).all()
    np.testing.assert_allclose(values["dropout1.output"], 2 * values["add1.output"] * ~dropped)


def test_the_document():
    document = derive("input 1x1x3 fc-2 relu fc-1", seed=4).to_json()
    assert list(document) == ["net", "seed", "loss", "value", "layers"]
    assert (document["net"], document["seed"]) == ("input 1x1x3 fc-2 relu fc-1", 4)
    names = [layer["name"] for layer in document["layers"]]
    assert names == ["input", "fc1", "relu1", "fc2"]
    layer = document["layers"][1]
    assert list(layer) == ["name", "text", "rule", "arrays"]
    assert np.shape(layer["arrays"]["weight"]["value"]) == (2, 3)
    assert np.shape(layer["arrays"]["output"]["derivative"]) == (2,)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("input 32x32x1 conv5-6p0 fc-10", {}, NetError, "the input: 1x32x32 numbers are too many"),
        ("input 4x4x1 conv3-16", {}, NetError, "conv3-16: 16x4x4 numbers are too many to read"),
        ("input 4x4x1 fc-17", {}, NetError, "fc-17: 17 numbers .* the limit is 160, and 16 in a"),
        ("input 1x1x16 fc-16", {}, NetError, "fc1.weight: 16x16 numbers are too many"),
        ("input 9x9x1 gap [tanh]*60", {}, NetError, "61 layers are too many to read"),
        ("input 1x1x2 fc-2 bn", {}, NetError, r"bn on 2: one image gives each .*\n.*\n +\^\^"),
        ("input 2x2x1 conv5-2p0", {}, NetError, "the window is larger than its input"),
        ("input 1x1x2 fc-2", {"label": 2}, UsageError, "label 2 is not one of the 2 outputs"),
        ("input 1x1x2 fc-1", {"label": 0}, UsageError, "needs two outputs or more"),
        ("input 1x1x2 fc-2", {"loss": "l2"}, UsageError, r"there is no loss `l2` \(there are sum"),
        ("input 1x1x2 fc-2", {"loss": "sum", "label": 0}, UsageError, "takes no label"),
        (
            "input 1x1x2 fc-3",
            {"loss": "reconstruction"},
            UsageError,
            "3 outputs cannot be compared",
        ),
        ("input 2x2x1 conv1-2", {"loss": "hinge"}, UsageError, "needs two outputs or more"),
    ],
)
def test_errors(text, options, error, message):
    with pytest.raises(error, match=message):
        derive(text, **options)


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_every_loss_has_a_value(loss):
    found = derive("input 1x1x3 fc-3", loss=loss)
    assert np.isfinite(found.value)
    assert loss in found.loss.replace(" ", "_")


def test_every_layer_has_its_rule():
    layers = [
        graph.Convolution((3, 3), 2), graph.TransposedConvolution((3, 3), 2), graph.Full(2),
        *[graph.Pool(kind, (2, 2), (2, 2)) for kind in ("max", "avg", "l2")], graph.LayerNorm(),
        graph.Whiten((2, 2)), graph.GlobalAverage(), graph.BatchNorm(), graph.ResponseNorm(),
        graph.Dropout(0.5), graph.Unpool((2, 2)), graph.Reshape(1, 1, 1), graph.Code(),
        graph.Scale(2), *[graph.Upsample(kind, (2, 2)) for kind in ("nearest", "nails")],
    ]  # fmt: skip
    words = ["relu", "leaky", "sigmoid", "tanh", "gelu", "silu", "identity", "softmax"]
    rules = [rule_of(layer) for layer in [*layers, *map(graph.Activation, words)]]
    assert all(rules)
    assert {type(layer) for layer in [*layers, graph.Activation("relu")]} == set(
        graph.Layer.__args__
    )


def test_matrices():
    assert matrix_lines(np.array([1.0, -22.5])) == ["[ 1.0  -22.5 ]"]
    assert matrix_lines(np.array([[[1.0]], [[2.0]]])) == ["[ 1  2 ]"]
    assert matrix_lines(np.zeros((2, 1, 1, 2))) == ["[ 0  0 ]  [ 0  0 ]"]
    kernels = np.arange(16.0).reshape(2, 2, 2, 2)
    assert matrix_lines(kernels) == [
        "[ 0  1 ]  [ 4  5 ]",
        "[ 2  3 ]  [ 6  7 ]",
        "",
        "[  8   9 ]  [ 12  13 ]",
        "[ 10  11 ]  [ 14  15 ]",
    ]
    assert matrix_lines(np.array([1e-9, 2e9])) == ["[ 1.0e-09  2.0e+09 ]"]
    assert matrix_lines(np.array([1 / 3, 1.0])) == ["[ 0.333  1.000 ]"]
    assert len(matrix_lines(np.zeros((5, 4, 4)))) == 4 + 1 + 4  # four to a row


def test_the_function_takes_nets_in_every_form():
    text = "fc-2 relu fc-1"
    found = striate.backprop(text, input=(1, 1, 3))
    assert isinstance(found, NetDerivation)
    assert str(striate.backprop(f"input 1x1x3 {text}")) == str(found)
    with pytest.raises(NetError, match="too many"):
        striate.backprop("lenet5", input=(32, 32, 1))
    for net in (text, "lenet5", "fc-1"):
        with pytest.raises(UsageError, match="this is a net, and its input size is not given"):
            striate.backprop(net)
    with pytest.raises(UsageError, match="a net has no variables"):
        striate.backprop(text, input=(1, 1, 3), at={"x": 1})
