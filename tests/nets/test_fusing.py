"""The pass over the graph that runs several layers as one operator."""

from __future__ import annotations

import copy

import pytest
import torch

from striate.kernels import can_convolve, load_library
from striate.nets import fusing, load_net, parse_net
from striate.nets.fused import FusedChain, use_fused

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

NETS = {
    "pool, norm, activation": "input 12x12x3 conv3-8 maxpool2 bn relu conv3-8 bn gelu fc-5",
    "norm before the pool": "input 12x12x3 conv3-8 bn relu maxpool2 conv3-8 bnw0 silu fc-5",
    "whitening": "input 12x12x3 whiten2 gelu conv3-8 bn relu fc-5",
    "norm alone, odd sizes": "input 13x11x1 conv3-8 bn conv3-8 maxpool2 bn fc-5",
    "residual": "input 8x8x3 conv3-8 bn relu (conv3-8 bn relu conv3-8 bn + skip) relu gap fc-5",
    "small windows": "input 9x8x3 conv3-24 conv3-32p0 relu (conv3-32b0 + skip) conv3-25p2 gap fc-5",
    "pooled windows": "input 12x11x3 conv3-24 conv3-32 maxpool2 bn conv3-24b0 relu maxpool2 fc-5",
    "projection": "input 8x8x3 (conv3-8/2 bn relu conv3-8 bn + conv1-8/2 bn) relu gap fc-5",
}


@pytest.fixture(autouse=True)
def small_volumes_too(monkeypatch):
    monkeypatch.setattr(fusing, "FEWEST_VALUES", 0)
    monkeypatch.setattr(fusing, "FEWEST_WITHOUT_GRADIENTS", 0)
    monkeypatch.setattr(fusing, "FEWEST_PIXELS", 0)


def both(net, batch=4):
    """The module with and without fused operators, of the same weights, and images."""
    torch.manual_seed(0)
    module = net.build().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(module)
    use_fused(plain, False)
    height, width, channels = module.input
    return module, plain, torch.randn(batch, channels, height, width)


def fusions(module, kind=object):
    chains = [chain for chain in module.modules() if isinstance(chain, FusedChain)]
    found = [f for chain in chains for several in chain.fusions.values() for f in several]
    return [fusion for fusion in found if isinstance(fusion, kind)]


@pytest.mark.parametrize("name", NETS)
def test_the_same_step_to_rounding(name):
    module, plain, images = both(parse_net(NETS[name]))
    assert fusions(module)
    results = []
    for each in (module, plain):
        x = images.clone().requires_grad_()
        loss = each(x).square().mean()
        loss.backward()
        results.append([loss, x.grad, *(p.grad for p in each.parameters()), *each.buffers()])
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine.float(), theirs.float(), rtol=1e-3, atol=1e-5)
    assert module.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("name", NETS)
def test_the_same_prediction_to_rounding(name):
    module, plain, images = both(parse_net(NETS[name]))
    with torch.no_grad():
        for each in (module.eval(), plain.eval()):
            for buffer in each.buffers():
                if buffer.is_floating_point():
                    buffer.add_(0.25)
        assert torch.allclose(module(images), plain(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "joins", "norms"), [("resnet18", 8, 20), ("resnet20", 9, 21)])
def test_all_norms_of_a_residual_net_are_fused(name, joins, norms):
    found = fusions(load_net(name).build(), fusing.Normalization)
    assert sum(getattr(f, "branch", None) is not None for f in found) == joins
    assert len(found) - joins == norms  # those of a join can run for themselves too
    assert all(f.activation == "relu" for f in found if getattr(f, "branch", None) is not None)


def test_the_operators_run():
    module, _, images = both(parse_net(NETS["pool, norm, activation"]))
    with torch.autograd.profiler.profile() as profile:
        module(images)
    names = [event.name for event in profile.function_events]
    assert "striate::normalize" in names
    assert "aten::max_maxpool2d" not in names


def test_small_volumes_go_through_the_layers(monkeypatch):
    module, plain, images = both(parse_net(NETS["residual"]))
    monkeypatch.setattr(fusing, "FEWEST_VALUES", images.numel() * 3)  # there are 8/3 as many
    assert torch.equal(module(images), plain(images))
    monkeypatch.setattr(fusing, "FEWEST_VALUES", images.numel())
    assert not torch.equal(module(images), plain(images))  # but to rounding


def test_a_branch_with_a_listener_runs_for_itself():
    module, _, images = both(parse_net(NETS["residual"]))
    heard = []
    for name, chain in module.named_modules():
        if isinstance(chain, FusedChain) and "branches" in name:
            chain.register_forward_hook(lambda *args: heard.append(args[2].shape))
    module(images)
    assert (4, 8, 8, 8) in heard


def test_a_layer_with_a_listener_runs_for_itself():
    module, _, images = both(parse_net(NETS["pool, norm, activation"]))
    seen = []
    module.get_submodule("layers.maxpool1").register_forward_hook(
        lambda *args: seen.append(args[2])
    )
    module(images)
    assert seen[0].shape == (4, 8, 6, 6)


def test_gradients_of_a_trained_net_are_those_of_its_layers():
    module, plain, images = both(parse_net(NETS["residual"]))
    gradients = []
    for each in (module.eval(), plain.eval()):
        x = images.clone().requires_grad_()
        gradients.append(torch.autograd.grad(each(x).sum(), x)[0])
    assert torch.equal(*gradients)


def test_pooling_that_is_undone_later_keeps_its_positions():
    net = parse_net("input 8x8x3 conv3-4 maxpool2 bn relu conv3-4 unpool2 conv3-3")
    module, plain, images = both(net)
    assert torch.allclose(module(images), plain(images), atol=1e-5)
    assert "striate::normalize" in operators(module, images)


def test_other_kinds_of_numbers_go_through_the_layers():
    module, plain, images = both(parse_net(NETS["residual"]))
    assert torch.equal(module.double()(images.double()), plain.double()(images.double()))


def test_one_value_a_channel_is_an_error_as_in_pytorch():
    module = parse_net("input 2x2x3 conv3-4 maxpool2 bn relu fc-2").build()
    with pytest.raises(ValueError, match="one value a channel"):
        module(torch.randn(1, 3, 2, 2))


def calls(function, *arguments):
    with torch.autograd.profiler.profile() as profile:
        function(*arguments)
    return [event.name for event in profile.function_events]


def operators(module, images):
    return calls(lambda: module(images).sum().backward())


needs_small_windows = pytest.mark.skipif(
    not can_convolve(torch.zeros(2, 24, 8, 8)), reason="PyTorch is faster here"
)


@needs_small_windows
def test_small_windows_run_in_training_and_in_exact_predictions():
    module, plain, images = both(parse_net(NETS["small windows"]))
    names = operators(module, images)
    assert [names.count(f"striate::winograd{part}") for part in ("", "_back", "_weights")] == [
        3
    ] * 3
    assert "striate::winograd" not in operators(plain, images)
    assert "striate::winograd" not in operators(module.eval(), images)
    with torch.no_grad():
        assert calls(module, images).count("striate::winograd") == 3
        with torch.autocast("cpu", torch.bfloat16):
            assert "striate::winograd" not in calls(module, images)


@needs_small_windows
def test_pooled_windows_run_as_one():
    module, _, images = both(parse_net(NETS["pooled windows"]))
    names = operators(module, images)
    assert "aten::max_pool2d" not in names
    assert names.count("striate::winograd") == names.count("striate::winograd_back") == 2


class DoubledPool(torch.nn.MaxPool2d):
    def forward(self, x):
        return 2 * super().forward(x)


def doubling(layer):
    """With a way forward of its own."""
    own = layer.forward
    layer.forward = lambda x: 2 * own(x)
    return layer


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("maxpool1", DoubledPool((2, 2))),
        ("maxpool1", torch.nn.MaxPool2d((2, 3), (2, 2))),
        ("maxpool1", torch.nn.AvgPool2d(2)),
        ("maxpool1", doubling(torch.nn.MaxPool2d((2, 2), (2, 2)))),
        ("relu1", torch.nn.GELU()),
        ("relu1", doubling(torch.nn.ReLU())),
        ("bn1", torch.nn.BatchNorm2d(32, momentum=None)),
    ],
)
def test_a_layer_in_the_place_of_another_does_what_it_does(name, other):
    module, plain, images = both(parse_net(NETS["pooled windows"]))
    for each in (module, plain):
        setattr(each.layers, name, copy.deepcopy(other))
    assert torch.allclose(module(images), plain(images), atol=1e-5)


@pytest.mark.parametrize("name", ["maxpool1", "relu1"])
def test_a_layer_that_was_changed_does_what_it_does_now(name):
    module, plain, images = both(parse_net(NETS["pooled windows"]))
    for each in (module, plain):
        layer = each.get_submodule(f"layers.{name}")
        doubling(layer) if name == "relu1" else setattr(layer, "kernel_size", (1, 2))
    assert torch.allclose(module(images), plain(images), atol=1e-5)


def test_a_copy_is_fused_as_the_net_is():
    module, _, images = both(parse_net(NETS["pooled windows"]))
    assert "striate::normalize" in operators(copy.deepcopy(module), images)


@pytest.mark.parametrize("text", ["conv3-24 maxpool2c gap fc-5", "maxpool2c bn relu gap fc-5"])
def test_an_odd_last_row_that_is_pooled_counts(text):
    module, plain, _ = both(parse_net(f"input 12x12x24 {text}"))
    images = torch.randn(20, 24, 13, 13)
    assert torch.allclose(module(images), plain(images), atol=1e-5)


def test_a_join_in_the_place_of_another_does_what_it_does():
    module, _, images = both(parse_net(NETS["residual"]))
    before = module(images)
    module.layers.add1 = torch.nn.Identity()
    assert not torch.allclose(module(images), before, atol=1e-3)


def test_a_layer_that_was_taken_out_is_not_run():
    module, plain, images = both(parse_net(NETS["pooled windows"]))
    for each in (module, plain):
        del each.layers.relu1
    assert torch.allclose(module(images), plain(images), atol=1e-5)


@needs_small_windows
def test_a_listener_to_a_pooling_is_given_what_comes_out():
    module, plain, images = both(parse_net(NETS["pooled windows"]))
    seen = []
    for each in (module, plain):
        for name in ("maxpool1", "maxpool2"):
            each.get_submodule(f"layers.{name}").register_forward_hook(
                lambda *given: seen.append(given[2].detach())
            )
        each(images)
    for mine, theirs in zip(seen[:2], seen[2:], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "text", ["conv3-24/2", "conv3-24g2", "conv3-24p3", "conv3-23", "conv5-24", "conv3-24d2"]
)
def test_other_windows_are_left_to_pytorch(text):
    net = parse_net(f"input 16x16x24 {text} gap fc-2")
    assert not fusions(net.build(), fusing.SmallWindow)


@needs_small_windows
def test_few_pixels_are_left_to_pytorch(monkeypatch):
    module, _, images = both(parse_net("input 8x8x24 conv3-24 bn gap fc-2"))
    monkeypatch.setattr(fusing, "FEWEST_PIXELS", 4 * 64)
    assert "striate::winograd" in operators(module, images)
    monkeypatch.setattr(fusing, "FEWEST_PIXELS", 4 * 64 + 1)
    assert "striate::winograd" not in operators(module, images)
    monkeypatch.setattr(fusing, "WEIGHTS_A_PIXEL", 3)  # 192 pixels
    monkeypatch.setattr(fusing, "FEWEST_PIXELS", 0)
    assert "striate::winograd" in operators(module, images)
    monkeypatch.setattr(fusing, "WEIGHTS_A_PIXEL", 2)  # 288
    assert "striate::winograd" not in operators(module, images)


@needs_small_windows
def test_maps_of_one_row_are_left_to_pytorch():
    for size, expected in (("3x4", False), ("4x4", True)):
        module, _, images = both(parse_net(f"input {size}x24 conv3-24p0 bn gap fc-2"), batch=80)
        assert ("striate::winograd" in operators(module, images)) == expected


class Doubled(torch.nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def convolution(kind=torch.nn.Conv2d, kernel=3, **options):
    return kind(24, 24, kernel, **{"padding": kernel // 2} | options)


@pytest.mark.parametrize(
    "other",
    [
        convolution(Doubled),
        convolution(padding_mode="reflect"),
        convolution(kernel=5),
        convolution(kernel=1),
        convolution(dilation=2, padding=2),
        convolution(padding=2),
        convolution(stride=2),
        convolution(groups=2),
        convolution().requires_grad_(False),
    ],
)
def test_a_convolution_in_the_place_of_another_does_what_it_does(other):
    module, _, images = both(parse_net("input 8x8x24 conv3-24 bn gap fc-2"))
    module.layers.conv1 = other.train()
    seen = []
    module.layers.bn1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module(images)
    assert torch.allclose(seen[0], other(images), atol=1e-5)


def test_listeners_on_the_way_back_are_heard():
    module, _, images = both(parse_net("input 8x8x24 conv3-24 bn gap fc-2"))
    heard = []
    module.layers.conv1.register_full_backward_hook(lambda *args: heard.append("one"))
    module(images.requires_grad_()).sum().backward()
    everywhere = torch.nn.modules.module.register_module_full_backward_hook(
        lambda layer, *_: heard.append(type(layer).__name__)
    )
    try:
        module(images).sum().backward()
    finally:
        everywhere.remove()
    assert heard[0] == "one"
    assert {"Conv2d", "BatchNorm2d"} <= set(heard)
