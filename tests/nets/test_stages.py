"""Stages: cut where the map shrinks, as in the tables of the papers."""

import pytest

from striate.nets import load_net, parse_net
from striate.nets.stages import cut_stages


@pytest.mark.parametrize(
    ("net", "sides"),
    [
        ("resnet18", [112, 56, 28, 14, 1]),  # conv1, conv2_x ... conv5_x of the paper, and the mean
        ("resnet152", [112, 56, 28, 14, 1]),
        ("vgg16", [224, 112, 56, 28, 14, 1]),
        ("densenet121", [112, 56, 28, 14, 1]),
        ("alexnet-torchvision", [55, 27, 13, 1]),
        ("googlenet-torchvision", [112, 56, 28, 14, 1]),
        ("resnet20", [32, 16, 1]),
        ("lenet5", [28, 10, 1]),
        ("mlp50", [1]),
        ("logistic", []),
    ],
)
def test_the_stages_of_the_zoo(net, sides):
    assert [stage.output.height for stage in cut_stages(load_net(net).trace())] == sides


def test_the_layers_of_a_stage():
    net = parse_net("input 16x16x1 maxpool2 conv3-4 relu maxpool2 (conv3-4 + skip) gap fc-8 fc-3")
    first, second, third = cut_stages(net.trace())
    assert first.names == ("maxpool1", "conv1", "relu1")
    assert second.names == ("maxpool2", "add1")
    assert third.names == ("gap1", "fc1")
    assert str(first) == "maxpool1..relu1 (8x8x4)"
    assert str(cut_stages(parse_net("input 8x8x1 conv3-4 fc-3").trace())[0]) == "conv1 (8x8x4)"


def test_layers_without_weights_at_the_end_belong_to_the_last_stage():
    net = parse_net("input 16x16x1 conv3-4 maxpool2 conv3-4 maxpool2 gap dropout0.1 fc-3")
    assert cut_stages(net.trace())[-1].names == (
        "maxpool1",
        "conv2",
        "maxpool2",
        "gap1",
        "dropout1",
    )


def test_frozen_filters_are_weights_too():
    net = parse_net("input 16x16x1 whiten2 relu maxpool2 conv3-4 fc-3")
    assert [stage.names[0] for stage in cut_stages(net.trace())] == ["whiten1", "maxpool1"]
