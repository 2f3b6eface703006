import pytest
from torch import nn

from striate.nets import parse_net
from striate.training.head import find_head


@pytest.mark.parametrize(
    ("text", "name", "scale", "fan_in"),
    [
        ("conv3-8 relu fc-16 relu fc-10", "fc2", 1.0, 16),
        ("whiten2 gelu conv3-8b0 maxpool7 fc-10b0 scale1/8", "fc1", 1 / 8, 8),
        ("fc-10 scale0.5 scale0.5", "fc1", 0.25, 192),
        ("fc-16 scale0.5 relu fc-10", "fc2", 1.0, 16),
        ("conv3-8 relu conv3-10 gap", "conv2", 1.0, 72),
        ("conv3-8 relu tconv2-3/2", "tconv1", 1.0, 32),
        ("conv3-8 relu local8-10p0", "local1", 1.0, 512),
    ],
)
def test_the_head_is_the_last_layer_with_weights(text, name, scale, fan_in):
    module = parse_net(text).build((8, 8, 3))
    head = find_head(module)
    assert head is not None
    assert head.layer is dict(module.layers.named_children())[name]
    assert head.scale == scale
    assert head.fan_in == fan_in


def test_a_net_without_weights_has_none():
    assert find_head(nn.Sequential(nn.ReLU())) is None
