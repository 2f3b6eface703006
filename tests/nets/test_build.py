"""A built net: names, shapes, precision, memory format, and a state that lasts."""

import copy

import pytest
import torch
from torch import nn

from striate.nets import NetModule, Whiten, auto_net, load_net, parse_net

BRANCHES = "conv3-4 bn relu (conv3-4 bn + skip) relu (skip | conv1-2) gap fc-3"


def test_keys_follow_from_the_graph() -> None:
    module = parse_net(BRANCHES).build((6, 6, 3))
    keys = [key for key in module.state_dict() if key.endswith("weight")]
    assert keys == [
        "layers.conv1.weight",
        "layers.bn1.weight",
        "layers.add1.branches.0.conv2.weight",
        "layers.add1.branches.0.bn2.weight",
        "layers.concat1.branches.1.conv3.weight",
        "layers.fc1.weight",
    ]
    again = parse_net(module.net.text).build()
    assert list(again.state_dict()) == list(module.state_dict())
    again.load_state_dict(module.state_dict())
    x = torch.rand(2, 3, 6, 6)
    assert torch.equal(module.eval()(x), again.eval()(x))


def test_the_module_knows_its_net_and_input() -> None:
    module = parse_net("fc-3").build((6, 6, 3))
    assert isinstance(module, NetModule)
    assert module.input == (6, 6, 3)
    assert module.net.text == "input 6x6x3 fc-3"


def test_stages_are_the_forward_pass() -> None:
    module = parse_net(BRANCHES).build((6, 6, 3)).eval()
    x = torch.rand(2, 3, 6, 6)
    stages = module.stages(x)
    assert list(stages) == [
        "conv1", "bn1", "relu1", "conv2", "bn2", "add1", "relu2", "conv3", "concat1", "gap1", "fc1",
    ]  # fmt: skip
    assert torch.equal(stages["fc1"], module(x))
    assert torch.equal(stages["add1"], stages["bn2"] + stages["relu1"])
    assert torch.equal(stages["concat1"], torch.cat([stages["relu2"], stages["conv3"]], 1))
    rows = {row.name: row.output for row in module.net.summary().layers}
    assert list(rows) == list(stages)
    for name, value in stages.items():
        assert tuple(value.shape[1:]) in (
            (rows[name][2], rows[name][0], rows[name][1]),
            (rows[name][2],),
        )


@pytest.mark.parametrize("text", ["conv1-5 gap", "conv1-5 maxpool6", "fc-5", "conv6-5p0"])
def test_one_value_a_class_is_a_row(text: str) -> None:
    assert parse_net(text).build((6, 6, 3))(torch.rand(2, 3, 6, 6)).shape == (2, 5)


def test_a_net_that_ends_in_a_map_gives_a_map() -> None:
    module = parse_net("conv3-8 relu maxpool2 code nearest2 conv3-3 sigmoid").build((6, 6, 3))
    assert module(torch.rand(2, 3, 6, 6)).shape == (2, 3, 6, 6)


def test_every_layer_builds_and_trains() -> None:
    text = (
        "whiten2 gelu conv3-8g2c bn relu local3-4 tanh ln maxpool2 lrn tconv3-4/2 silu nearest2 "
        "avgpool2 leaky nails2 l2pool2 conv3-4/2c maxpool2c conv3-4 unpool2 sigmoid dropout0.1 "
        "(conv3-4 | skip) fc-36b0 bn ln reshape3x3x4 identity code gap fc-5 scale1/4 softmax"
    )
    module = parse_net(text).build((8, 8, 2))
    output = module(torch.rand(3, 2, 8, 8))
    assert output.shape == (3, 5)
    assert torch.allclose(output.sum(1), torch.ones(3))
    (output * torch.rand(3, 5)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_lrn_is_the_papers() -> None:
    x = torch.rand(1, 7, 1, 1) * 50
    squares = x.flatten() ** 2
    sums = torch.stack([squares[max(0, i - 2) : i + 3].sum() for i in range(7)])
    expected = x.flatten() / (2 + 1e-4 * sums) ** 0.75
    assert torch.allclose(parse_net("lrn").build((1, 1, 7))(x).flatten(), expected)


def test_batch_norm_options() -> None:
    module = parse_net("bnw0m0.4e1e-12").build((3, 3, 2))
    (layer,) = module.layers
    assert isinstance(layer, nn.BatchNorm2d)
    assert (layer.momentum, layer.eps) == (0.4, 1e-12)
    assert sum(p.numel() for p in module.parameters()) == 2


def test_gelu_is_exact() -> None:
    x = torch.linspace(-3, 3, 7).view(1, 7, 1, 1)
    expected = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    assert torch.allclose(parse_net("gelu").build((1, 1, 7))(x), expected.flatten(1), atol=1e-5)


def test_max_pooling_is_pytorchs_own_where_nothing_undoes_it() -> None:
    module = parse_net("maxpool2 conv3-2").build((4, 4, 2))
    assert type(module.layers.maxpool1) is nn.MaxPool2d


def test_builds_are_repeatable_from_the_seed() -> None:
    net = parse_net("conv3-4 local3-4 fc-3")
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(net.build((6, 6, 3)).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["auto", "resnet20", "lenet5", "googlenet"])
def test_bfloat16_and_channels_last(name: str) -> None:
    if name == "auto":
        net, _ = auto_net(size=(32, 32), channels=3, classes=10, images=50_000)
    else:
        net = load_net(name)
    height, width, channels = net.input or (0, 0, 0)
    if name == "googlenet":
        height = width = 64
    module = net.build((height, width, channels)).eval()
    x = torch.rand(2, channels, height, width)
    plain = module(x)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = x.to(memory_format=torch.channels_last)
    assert torch.allclose(module(x), plain, atol=1e-4, rtol=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(x)
    scale = plain.abs().max()
    assert half.isfinite().all()
    assert (half.float() - plain).abs().max() < 0.1 * scale + 0.02


def test_the_first_layer_of_the_default_net_is_a_whitening() -> None:
    net, _ = auto_net(size=(32, 32), channels=3, classes=10, images=50_000)
    module = net.build()
    assert isinstance(module.layers.whiten1, Whiten)
    assert "layers.whiten1.weight" in module.state_dict()


def test_modules_can_be_copied() -> None:
    module = parse_net("maxpool2 conv3-2 unpool2 fc-2").build((4, 4, 2)).eval()
    twin = copy.deepcopy(module)
    x = torch.rand(1, 2, 4, 4)
    assert torch.equal(twin(x), module(x))
    assert twin.layers.unpool1.partner[0] is twin.layers.maxpool1


def test_a_module_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        module = load_net("vgg16").build()
    assert sum(p.numel() for p in module.parameters()) == 138_357_544
    assert all(p.is_meta for p in module.parameters())
