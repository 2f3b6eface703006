"""The modules that `striate.nets` builds do what the reference does: forward, and all gradients."""

import numpy as np
import pytest
import torch

import striate
from striate import reference as r


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


class Built:
    """The layers of a net on two images, run and differentiated in float64 by PyTorch."""

    def __init__(self, text, height, width, channels, *, train=False):
        torch.manual_seed(0)
        module = striate.parse_net(text).build((height, width, channels)).double().train(train)
        with torch.no_grad():
            for values in module.state_dict().values():
                if values.is_floating_point():
                    values.uniform_(0.5, 1.5)  # no scale stays 1, no shift 0
        self.before = {name: value.clone().numpy() for name, value in module.state_dict().items()}
        self.tensor = torch.randn(2, channels, height, width).double().requires_grad_()
        self.images = self.tensor.detach().numpy()
        self.output = module.layers(self.tensor)
        slope = torch.randn(self.output.shape).double()
        self.output.backward(slope)
        self.slope = slope.numpy()
        self.module = module

    def numbers(self, layer, name):
        return self.before[f"layers.{layer}.{name}"]

    def gradient(self, layer, name):
        return self.module.get_parameter(f"layers.{layer}.{name}").grad


@pytest.mark.parametrize(
    ("text", "options", "dilation", "overhang"),
    [
        ("conv3-4", {"padding": 1}, (1, 1), (0, 0)),
        ("conv3x2-4/2x1p0x1", {"stride": (2, 1), "padding": (0, 1)}, (1, 1), (0, 0)),
        ("conv3-6/2p2g2d2x1", {"stride": 2, "padding": 2, "groups": 2}, (2, 1), (0, 0)),
        ("conv2-4/3p0c", {"stride": 3}, (1, 1), (0, 1)),  # 8 rows fit, of 7 columns one is left
        ("conv5-4b0", {"padding": 2}, (1, 1), (0, 0)),
    ],
)
def test_convolution(text, options, dilation, overhang):
    built = Built(text, 8, 7, 4)
    # `c` rounds the output up: the last windows find zeros after the last row and column.
    images = np.pad(built.images, [(0, 0), (0, 0), (0, overhang[0]), (0, overhang[1])])
    weights = r.dilate(built.numbers("conv1", "weight"), dilation)
    has_bias = "layers.conv1.bias" in built.before
    bias = built.numbers("conv1", "bias") if has_bias else None
    close(r.convolution(images, weights, bias, **options), built.output)
    gradients = r.convolution_backward(built.slope, images, weights, **options)
    close(gradients.inputs[:, :, :8, :7], built.tensor.grad)
    close(r.dilate_backward(gradients.weights, dilation), built.gradient("conv1", "weight"))
    if has_bias:
        close(gradients.bias, built.gradient("conv1", "bias"))


@pytest.mark.parametrize(
    ("text", "kernel", "options", "dilation"),
    [
        ("local3-4", (3, 3), {"padding": 1}, (1, 1)),
        ("local3x2-4/2x1p1x0", (3, 2), {"stride": (2, 1), "padding": (1, 0)}, (1, 1)),
        ("local2-6/2p1g2d2x1", (2, 2), {"stride": 2, "padding": 1, "groups": 2}, (2, 1)),
    ],
)
def test_locally_connected(text, kernel, options, dilation):
    built = Built(text, 6, 5, 4)
    kernels, *places = built.output.shape[1:]
    fan_in = (4 // options.get("groups", 1), *kernel)

    def arranged(weights):  # (Ho*Wo, K, C/G*F*F) -> (K, C/G, F, F, Ho, Wo)
        return weights.reshape(*places, kernels, *fan_in).transpose(2, 3, 4, 5, 0, 1)

    def dilated(weights):
        return np.moveaxis(
            r.dilate(np.moveaxis(weights, (2, 3), (-2, -1)), dilation), (-2, -1), (2, 3)
        )

    weights = dilated(arranged(built.numbers("local1", "weight")))
    bias = built.numbers("local1", "bias")
    close(r.locally_connected(built.images, weights, bias, **options), built.output)
    gradients = r.locally_connected_backward(built.slope, built.images, weights, **options)
    close(gradients.inputs, built.tensor.grad)
    close(gradients.bias, built.gradient("local1", "bias"))
    expected = arranged(built.gradient("local1", "weight").numpy())
    down, across = dilation
    np.testing.assert_allclose(gradients.weights[:, :, ::down, ::across], expected, atol=1e-10)


@pytest.mark.parametrize(
    ("text", "options", "dilation"),
    [
        ("tconv3-4/2", {"stride": 2, "padding": 1}, (1, 1)),
        ("tconv3-4/2c", {"stride": 2, "padding": 1, "extra": 1}, (1, 1)),
        (
            "tconv2x3-6/3x1p0x1g2c",
            {"stride": (3, 1), "padding": (0, 1), "groups": 2, "extra": (2, 0)},
            (1, 1),
        ),
        ("tconv3-4/2p0d2", {"stride": 2}, (2, 2)),
    ],
)
def test_transposed_convolution(text, options, dilation):
    built = Built(text, 3, 4, 4)
    weights = r.dilate(built.numbers("tconv1", "weight"), dilation)
    bias = built.numbers("tconv1", "bias")
    close(r.transposed_convolution(built.images, weights, bias, **options), built.output)
    options.pop("extra", None)
    gradients = r.transposed_convolution_backward(built.slope, built.images, weights, **options)
    close(gradients.inputs, built.tensor.grad)
    close(r.dilate_backward(gradients.weights, dilation), built.gradient("tconv1", "weight"))
    close(gradients.bias, built.gradient("tconv1", "bias"))


POOLINGS = [
    ("2", 2, {}),
    ("3/2", 3, {"stride": 2}),
    ("3x2/2x1p1x0", (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ("3/2c", 3, {"stride": 2, "ceil": True}),
    ("2/3p1c", 2, {"stride": 3, "padding": 1, "ceil": True}),
]


@pytest.mark.parametrize(("text", "size", "options"), POOLINGS)
@pytest.mark.parametrize("kind", ["max", "avg", "l2"])
def test_pooling(kind, text, size, options):
    built = Built(f"{kind}pool{text}", 8, 7, 3)
    steps = {name: value for name, value in options.items() if name != "ceil"}
    if kind == "max":
        output, positions = r.max_pool(built.images, size, **options)
        inputs = r.max_pool_backward(built.slope, positions, built.images)
    elif kind == "avg":
        output = r.average_pool(built.images, size, **options)
        inputs = r.average_pool_backward(built.slope, built.images, size, **steps)
    else:
        output = r.l2_pool(built.images, size, **options)
        inputs = r.l2_pool_backward(built.slope, built.images, size, **steps)
    close(output, built.output)
    close(inputs, built.tensor.grad)


def test_global_average():
    built = Built("gap", 4, 5, 3)
    slope = built.slope.reshape(2, 3)
    close(r.global_average(built.images), built.output.reshape(2, 3))
    close(r.global_average_backward(slope, built.images), built.tensor.grad)


@pytest.mark.parametrize(("text", "size", "stride"), [("2", 2, 2), ("3/2", 3, 2), ("3/1", 3, 1)])
@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 7)])
def test_max_unpooling(height, width, text, size, stride):
    built = Built(f"maxpool{text} unpool{size}", height, width, 3)
    maxima, positions = r.max_pool(built.images, size, stride=stride)
    close(r.max_unpool(maxima, positions, (height, width)), built.output)
    gradient = r.max_unpool_backward(built.slope, positions)
    close(r.max_pool_backward(gradient, positions, built.images), built.tensor.grad)


@pytest.mark.parametrize(("text", "factor"), [("2", 2), ("3x2", (3, 2))])
@pytest.mark.parametrize("kind", ["nearest", "nails"])
def test_unpooling_without_positions(kind, text, factor):
    built = Built(f"{kind}{text}", 3, 4, 2)
    close(getattr(r, kind)(built.images, factor), built.output)
    close(getattr(r, f"{kind}_backward")(built.slope, factor), built.tensor.grad)


@pytest.mark.parametrize("text", ["fc-5", "fc-5b0"])
def test_fully_connected(text):
    built = Built(text, 3, 4, 2)
    weights = built.numbers("fc1", "weight")
    bias = None if text.endswith("b0") else built.numbers("fc1", "bias")
    close(r.fully_connected(built.images, weights, bias), built.output)
    gradients = r.fully_connected_backward(built.slope, built.images, weights)
    close(gradients.inputs, built.tensor.grad)
    close(gradients.weights, built.gradient("fc1", "weight"))
    if bias is not None:
        close(gradients.bias, built.gradient("fc1", "bias"))


def statistics(built, layer="bn1"):
    mean, variance = (built.numbers(layer, f"running_{name}") for name in ("mean", "var"))
    return r.Statistics(mean, variance)


@pytest.mark.parametrize(
    ("text", "options"),
    [("bn", {}), ("bnw0m0.4e1e-12", {"momentum": 0.4, "epsilon": 1e-12})],
)
@pytest.mark.parametrize("train", [True, False])
def test_batch_norm(text, options, train):
    built = Built(text, 3, 4, 3, train=train)
    shift, running = built.numbers("bn1", "bias"), statistics(built)
    scale = np.ones(3) if "w0" in text else built.numbers("bn1", "weight")
    epsilon = {"epsilon": options.get("epsilon", 1e-5)}
    if train:
        output, after = r.batch_norm_training(built.images, scale, shift, running, **options)
        found = r.batch_norm_training_backward(built.slope, built.images, scale, **epsilon)
        state = built.module.state_dict()
        close(after.mean, state["layers.bn1.running_mean"])
        close(after.variance, state["layers.bn1.running_var"])
    else:
        output = r.batch_norm_testing(built.images, scale, shift, running, **epsilon)
        found = r.batch_norm_testing_backward(built.slope, built.images, scale, running, **epsilon)
    close(output, built.output)
    close(found.inputs, built.tensor.grad)
    close(found.shift, built.gradient("bn1", "bias"))
    if "w0" not in text:
        close(found.scale, built.gradient("bn1", "weight"))


def test_layer_norm():
    built = Built("ln", 3, 4, 3)
    scale, shift = built.numbers("ln1", "weight"), built.numbers("ln1", "bias")
    close(r.layer_norm(built.images, scale, shift), built.output)
    found = r.layer_norm_backward(built.slope, built.images, scale)
    close(found.inputs, built.tensor.grad)
    close(found.scale, built.gradient("ln1", "weight"))
    close(found.shift, built.gradient("ln1", "bias"))


@pytest.mark.parametrize("kind", ["bn", "ln"])
def test_normalisation_of_values_in_a_row(kind):
    built = Built(f"fc-5 {kind}", 2, 2, 1)
    weights, bias = built.numbers("fc1", "weight"), built.numbers("fc1", "bias")
    scale, shift = (built.numbers(f"{kind}1", name) for name in ("weight", "bias"))
    values = r.fully_connected(built.images, weights, bias)
    if kind == "bn":
        output = r.batch_norm_testing(values, scale, shift, statistics(built))
        found = r.batch_norm_testing_backward(built.slope, values, scale, statistics(built))
    else:
        output = r.layer_norm(values, scale, shift)
        found = r.layer_norm_backward(built.slope, values, scale)
    close(output, built.output)
    close(found.scale, built.gradient(f"{kind}1", "weight"))
    gradients = r.fully_connected_backward(found.inputs, built.images, weights)
    close(gradients.inputs, built.tensor.grad)


def test_response_norm():
    built = Built("lrn", 3, 4, 7)
    close(r.response_norm(built.images), built.output)
    close(r.response_norm_backward(built.slope, built.images), built.tensor.grad)


def test_dropout():
    built = Built("dropout0.3", 5, 6, 3, train=True)
    mask = (built.output != 0).numpy()
    assert 0 < mask.mean() < 1
    close(r.dropout(built.images, mask, rate=0.3), built.output)
    close(r.dropout_backward(built.slope, mask, rate=0.3), built.tensor.grad)
    calm = Built("dropout0.3", 5, 6, 3)
    close(calm.images, calm.output)


def test_whitening_is_a_convolution_with_frozen_weights():
    built = Built("whiten2", 4, 5, 2)
    weights, bias = built.numbers("whiten1", "weight"), built.numbers("whiten1", "bias")
    close(r.convolution(built.images, weights, bias), built.output)
    gradients = r.convolution_backward(built.slope, built.images, weights)
    close(gradients.inputs, built.tensor.grad)
    close(gradients.bias, built.gradient("whiten1", "bias"))
