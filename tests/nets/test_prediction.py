"""Nets made ready to predict give what they give layer by layer."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from striate.kernels import can_convolve, convolve
from striate.nets import load_net, parse_net, prediction
from striate.nets.prediction import FEW_IMAGES, MOST_LAYOUTS, Predictor, PreparedConvolution

NETS = {
    "norm and activation": "input 12x12x3 conv3-8 bn relu conv3-8b0 bnw0 gelu maxpool2 fc-5",
    "activations": "input 9x8x3 conv3-8 relu conv3-8 bn tanh conv3-8 sigmoid conv3-8 silu fc-5",
    "strides, groups, dilation": "input 13x11x4 conv3-8/2g2 bn relu conv3-8d2 bn conv5x1-6 fc-5",
    "norm before and alone": "input 8x8x3 bn relu conv3-8 maxpool2 bn relu conv3-8 fc-5 bn",
    "residual": "input 8x8x3 conv3-8 bn relu (conv3-8 bn relu conv3-8 bn + skip) relu gap fc-5",
    "projection": "input 8x8x3 (conv3-8/2 bn relu conv3-8 bn + conv1-8/2 bn) relu gap fc-5",
    "dense": "input 8x8x3 conv3-8 (bn relu conv3-4 | skip) bn relu gap fc-5",
    "whitening": "input 12x12x3 whiten2 gelu conv3-8 bn relu fc-5",
    "autoencoder": "input 8x8x3 conv3-4 bn relu maxpool2 conv3-4 unpool2 conv3-3",
    "small windows": "input 9x8x24 conv3-24 (conv3-24 bn relu conv3-24 + skip) relu gap fc-5",
    "trunk": "input 12x12x1 conv5-6 tanh avgpool2 conv5-16 tanh avgpool2 fc-20 tanh fc-5",
}


def trained(text):
    """A module with statistics and weights as after some training, and images."""
    torch.manual_seed(0)
    net = parse_net(text)
    module = net.build()
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    for name, buffer in module.named_buffers():
        if "running_mean" in name:
            buffer.add_(torch.randn_like(buffer))
        if "running_var" in name:
            buffer.add_(torch.rand_like(buffer))
    height, width, channels = module.input
    images = torch.randn(FEW_IMAGES + 4, channels, height, width)
    return module.eval(), images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [1, 3, FEW_IMAGES + 4])
@pytest.mark.parametrize("name", NETS)
def test_the_same_logits_to_rounding(name, count):
    module, images = trained(NETS[name])
    images = images[:count]
    with torch.inference_mode():
        found = Predictor(module)(images, "fp32")
        torch.testing.assert_close(found, module(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_in_bf16_they_are_as_near_as_by_the_layers(name):
    module, images = trained(NETS[name])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        with torch.autocast("cpu", enabled=False):
            exact = module(images[:3])
        results = module(images[:3]), Predictor(module)(images[:3], "bf16")
        errors = [(each.float() - exact).abs().mean() for each in results]
    assert errors[1] < 2 * errors[0] + 1e-3 * exact.abs().mean()


def test_norms_and_activations_go_into_the_convolutions():
    predictor = Predictor(load_net("resnet20").build().eval())
    prepared = predictor._get("fp32")
    kinds = [type(layer) for layer in prepared.modules()]
    assert kinds.count(PreparedConvolution) == 19 + 2
    names = [name for name, _ in prepared.named_modules() if ".bn" in name]
    assert names == []  # those of the convolutions are their `norm`


@pytest.mark.skipif(not can_convolve(torch.zeros(2, 24, 8, 8)), reason="PyTorch is faster here")
@pytest.mark.parametrize("count", [FEW_IMAGES, FEW_IMAGES + 4])
def test_small_windows_of_many_images_are_filtered_minimally(monkeypatch, count):
    text = (
        "input 18x17x24 conv3-24 bn relu maxpool2 conv3-32p0b0 (conv3-32 bn gelu conv3-32 bn + "
        "skip) conv3-24 gelu maxpool2 fc-5"
    )
    module, images = trained(text)
    images, predictor, convolved = images[:count], Predictor(module), []

    def heard(*arguments, pool):
        convolved.append(pool)
        return convolve(*arguments, pool=pool)

    monkeypatch.setattr(prediction, "convolve", heard)
    with torch.inference_mode():
        found, exact = predictor(images, "fp32"), copy.deepcopy(module).double()(images.double())
        assert (found - exact).abs().max() < 1e-4 * exact.abs().max()
        with torch.autocast("cpu", torch.bfloat16):
            predictor(images, "bf16")
    laid_out = count <= FEW_IMAGES and prediction._can_lay_out(images)
    assert convolved == ([] if laid_out else [2, 1, 1, 1, 1])  # a GELU does not rise throughout


@pytest.mark.parametrize("change", ["ceil_mode", "forward"])
def test_a_pooling_that_is_changed_counts(change):
    module, images = trained("input 13x13x24 conv3-24 bn relu maxpool2 gap fc-5")
    predictor = Predictor(module)
    with torch.inference_mode():
        before = predictor(images, "fp32")
        pool = module.layers.maxpool1
        own = pool.forward
        setattr(pool, change, True if change == "ceil_mode" else lambda x: 2 * own(x))
        found, expected = predictor(images, "fp32"), module(images)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (found - before).abs().max() > 1e-2 * expected.abs().max()


@pytest.mark.parametrize("name", ["residual", "small windows"])
def test_new_weights_and_statistics_count(name):
    module, images = trained(NETS[name])
    predictor = Predictor(module)

    def difference():
        with torch.inference_mode():
            expected = module(images)
            return (predictor(images, "fp32") - expected).abs().max() / expected.abs().max()

    assert difference() < 1e-4
    with torch.no_grad():
        module.get_parameter("layers.conv1.weight").mul_(-2)
    assert difference() < 1e-4
    module.train()(images)  # moves the statistics
    module.eval()
    assert difference() < 1e-4
    module.load_state_dict({k: v * 1.5 for k, v in module.state_dict().items()})
    assert difference() < 1e-3


def test_the_net_itself_stays_as_it_is():
    module, images = trained(NETS["residual"])
    before = copy.deepcopy(module.state_dict())
    with torch.inference_mode():
        Predictor(module)(images, "fp32")
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not any(part.training for part in module.modules())
    assert [n for n, _ in module.named_modules()] == [
        n for n, _ in parse_net(NETS["residual"]).build().named_modules()
    ]


def test_listeners_hear_every_layer():
    module, images = trained(NETS["residual"])
    predictor, seen = Predictor(module), []
    with torch.inference_mode():
        predictor(images, "fp32")
        module.get_submodule("layers.bn1").register_forward_hook(lambda *args: seen.append(args[2]))
        predictor(images, "fp32")
    assert len(seen) == 1


def test_weights_of_other_types_go_through_the_layers():
    module, images = trained(NETS["residual"])
    module.double()
    with torch.inference_mode():
        assert torch.equal(Predictor(module)(images.double(), "fp32"), module(images.double()))


def test_weights_made_in_inference_mode_go_through_the_layers():
    with torch.inference_mode():
        module, images = trained(NETS["residual"])
        assert torch.equal(Predictor(module)(images, "fp32"), module(images))


def test_without_the_operator_of_the_compiler(monkeypatch):
    module, images = trained(NETS["residual"])
    monkeypatch.setattr("striate.nets.prediction._can_lay_out", lambda x: False)
    with torch.inference_mode():
        found = Predictor(module)(images[:2], "fp32")
        torch.testing.assert_close(found, module(images[:2]), rtol=1e-4, atol=1e-4)


def test_threads_with_batches_of_other_sizes_do_not_disturb_each_other():
    module, images = trained(NETS["residual"])
    predictor = Predictor(module)
    with torch.inference_mode():
        expected = module(images)

    def ask(count):
        with torch.inference_mode():
            return predictor(images[:count], "fp32")

    with ThreadPoolExecutor(4) as pool:
        counts = [1, 2, 5, FEW_IMAGES, FEW_IMAGES + 4] * 20
        for count, found in zip(counts, pool.map(ask, counts), strict=True):
            torch.testing.assert_close(found, expected[:count], rtol=1e-4, atol=1e-4)


def same(predictor, module, images):
    with torch.inference_mode():
        torch.testing.assert_close(predictor(images, "fp32"), module(images), rtol=1e-4, atol=1e-4)


def test_an_exchanged_layer_counts():
    module, images = trained(NETS["residual"])
    predictor = Predictor(module)
    same(predictor, module, images)
    module.layers.fc1 = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 2)).eval()
    same(predictor, module, images)
    module.layers.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
    same(predictor, module, images)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("conv1", torch.nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")),
        ("conv1", torch.nn.Conv2d(3, 8, 3, padding="same")),
        ("bn1", torch.nn.BatchNorm2d(8, affine=False).eval()),
        ("bn1", torch.nn.BatchNorm2d(8, track_running_stats=False).eval()),
        ("gelu1", torch.nn.GELU("tanh")),
    ],
)
@pytest.mark.parametrize("count", [1, FEW_IMAGES + 4])
def test_a_layer_of_another_kind_runs_as_it_is(name, layer, count):
    module, images = trained("input 8x8x3 conv3-8 bn gelu conv3-8 fc-5")
    setattr(module.layers, name, layer)
    same(Predictor(module), module, images[:count])


def test_a_module_in_training_runs_as_it_is():
    module, images = trained(NETS["residual"])
    module.train()
    predictor = Predictor(module)
    before = module.get_buffer("layers.bn1.running_mean").clone()
    predictor(images, "fp32")
    assert not torch.equal(before, module.get_buffer("layers.bn1.running_mean"))
    assert all(part.training for part in module.modules())


def test_whoever_listens_to_all_layers_hears_them():
    module, images = trained(NETS["residual"])
    predictor, seen = Predictor(module), []
    same(predictor, module, images)
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda layer, *_: seen.append(type(layer))
    )
    try:
        predictor(images, "fp32")
    finally:
        handle.remove()
    assert torch.nn.BatchNorm2d in seen


def test_few_layouts_of_the_weights_are_kept():
    module, images = trained(NETS["residual"])
    predictor = Predictor(module)
    for count in range(1, 7):
        same(predictor, module, images[:count])
    kept = [
        len(layer._laid_out)
        for layer in predictor._get("fp32").modules()
        if isinstance(layer, PreparedConvolution)
    ]
    assert kept == [MOST_LAYOUTS] * 3
