"""A net is a line of text: its table, and an ordinary PyTorch module with named stages."""

import torch

import striate

net = striate.parse_net("[[conv3-64 relu]*2 maxpool2]*2 fc-10")
print(net.summary((32, 32, 3)))

module = net.build((32, 32, 3))
images = torch.randn(4, 3, 32, 32)
print(module(images).shape)
for name, stage in module.stages(images).items():
    print(f"{name:12} {tuple(stage.shape)}")
