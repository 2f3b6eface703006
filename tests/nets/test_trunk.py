"""The pass over the graph that runs a small net's convolutions as one operator."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from striate.kernels import TrunkLayer, load_library
from striate.nets import load_net, parse_net
from striate.nets.fused import use_fused
from striate.nets.trunk import find_trunk

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

NETS = {
    "the lecture's": "input 28x28x1 conv5-6p2 sigmoid avgpool2 conv5-16p0 sigmoid avgpool2 fc-10",
    "maxima": "input 28x28x1 conv3-8 relu maxpool2 conv3-16 relu maxpool2 fc-32 relu fc-10",
    "pooling first": "input 13x11x3 conv3-8 maxpool2 gelu conv3-8 avgpool2 silu gap fc-10",
    "no pooling": "input 10x10x2 conv3-4 tanh conv1-6 conv3-5 maxpool2 fc-10",
}


def both(net, batch=20):
    torch.manual_seed(0)
    module = net.build().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(module)
    use_fused(plain, False)
    height, width, channels = module.input
    return module, plain, torch.randn(batch, channels, height, width)


def trunk_of(text):
    return find_trunk(parse_net(text).trace().chain)


def test_lenet5_is_a_trunk_and_a_head():
    trunk = find_trunk(load_net("lenet5").trace().chain)
    assert trunk.names == ("conv1", "tanh1", "avgpool1", "conv2", "tanh2", "avgpool2")
    assert trunk.parts == (TrunkLayer((0, 0), "tanh", "average after"),) * 2


def test_dropout_may_follow():
    trunk = trunk_of("input 12x12x1 conv3-8 relu maxpool2 dropout0.5 fc-10")
    assert trunk.names == ("conv1", "relu1", "maxpool1")


@pytest.mark.parametrize("text", NETS.values(), ids=NETS)
def test_the_same_values_and_gradients(text):
    module, plain, x = both(parse_net(text))
    assert trunk_of(text) is not None
    results = []
    for net in (module, plain):
        logits = net(x)
        F.cross_entropy(logits, torch.arange(20) % 10).backward()
        results.append([logits.detach(), *(p.grad for p in net.parameters())])
    for mine, theirs in zip(*results, strict=True):
        assert mine.stride() == theirs.stride()
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(module.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-6)
    assert list(module.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize(
    "text",
    [
        "input 12x12x1 conv3-8/2 relu fc-10",
        "input 12x12x4 conv3-8g2 relu fc-10",
        "input 12x12x1 conv3-8 bn relu fc-10",
        "input 12x12x1 conv3-8 leaky maxpool2 fc-10",
        "input 12x12x1 conv3-8 relu maxpool3/2 fc-10",
        "input 12x12x1 conv3-8 gelu maxpool2 fc-10",
        "input 13x13x1 conv3-8 relu maxpool2c fc-10",
        "input 12x12x1 conv3-128 relu fc-10",
        "input 12x12x1 conv3-8 relu dropout0.5 conv3-8 relu fc-10",
        "input 12x12x1 fc-10",
    ],
)
def test_other_nets_have_none(text):
    assert trunk_of(text) is None


def test_a_listener_few_images_and_bf16_switch_it_off(monkeypatch):
    module, _, x = both(parse_net(NETS["maxima"]))
    calls = []
    run = type(module.layers.fusions["conv1"][0]).run
    monkeypatch.setattr(
        type(module.layers.fusions["conv1"][0]),
        "run",
        lambda self, chain, x: calls.append(len(x)) or run(self, chain, x),
    )
    module(x)
    assert calls == [20]
    module(x[:3])
    with torch.autocast("cpu", torch.bfloat16):
        module(x)
    handle = module.layers.relu1.register_forward_hook(lambda *_: None)
    module(x)
    handle.remove()
    assert calls == [20]
    module.double()(x.double())
    module.float()(x)
    assert calls == [20, 20]


def test_lenet5_learns_alike_with_and_without():
    module, plain, _ = both(load_net("lenet5"))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(10, 1, 32, 32, generator=generator)
    curves = []
    for net in (module, plain):
        generator.manual_seed(2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
        losses = []
        for _ in range(50):
            labels = torch.randint(0, 10, (64,), generator=generator)
            noise = torch.randn(64, 1, 32, 32, generator=generator)
            loss = F.cross_entropy(net(images[labels] + noise), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(losses)
    assert curves[0][-1] < curves[0][0] / 2
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
