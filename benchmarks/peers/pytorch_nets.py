"""Training steps in plain PyTorch: LeNet-5, an MLP, ResNet-18 in its form for small images.

    python pytorch_nets.py ARRAYS --net lenet5 --batch 256 [--precision bf16] [--compile]

channels_last throughout, bf16 by autocast, the images normalised once and gathered from memory,
the fused SGD. The whitened net is in pytorch_whitened.py.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from serving import serve, timed_steps
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def lenet5(classes: int) -> nn.Module:
    """LeNet-5 on 28x28x1, as in the zoo."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, classes),
    )


def mlp50(classes: int) -> nn.Module:
    """One hidden layer of 50 units on 28x28x1."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, classes))


class Block(nn.Module):
    """Two 3x3 convolutions and a skip (He et al., 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.skip = nn.Identity() if inputs == outputs else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, or twice the channels at half the side."""
        return torch.relu_(self.main(x) + self.skip(x))


def resnet18(classes: int) -> nn.Module:
    """ResNet-18 with a 3x3 stem, as used on 32x32x3."""
    widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [b for i, o, s in widths for b in (Block(i, o, s), Block(o, o, 1))]
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    return nn.Sequential(
        *stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)
    )


NETS = {"lenet5": lenet5, "mlp50": mlp50, "resnet18": resnet18}


class Training:
    """A net in training, and the images that it sees."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        with np.load(options.arrays) as arrays:
            pixels = torch.from_numpy(arrays["images"]).float() / 255  # (N, H, W, C)
            self.labels = torch.from_numpy(arrays["labels"])
        mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
        self.images = (pixels - mean) / std
        self.bf16 = options.precision == "bf16"
        net = NETS[options.net](int(self.labels.max()) + 1).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            net.parameters(), options.rate, options.momentum, fused=True
        )
        self.net = torch.compile(net) if options.compile else net
        self.batch = options.batch
        self.order = torch.empty(0, dtype=torch.int64)
        self.step()  # what is set up at the first step is not measured

    def step(self) -> int:
        """Take one."""
        if len(self.order) < self.batch:
            self.order = torch.randperm(len(self.labels))
        places, self.order = self.order[: self.batch], self.order[self.batch :]
        images = self.images[places].permute(0, 3, 1, 2)  # channels_last, without a copy
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.net(images)
        loss = cross_entropy(logits.float(), self.labels[places])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return len(places)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images and labels")
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true")
    training = Training(parser.parse_args())
    serve(
        lambda images, seconds: timed_steps(training.step, images=images, seconds=seconds), "torch"
    )


if __name__ == "__main__":
    main()
