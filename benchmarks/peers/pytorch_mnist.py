"""The net and the settings of PyTorch's own MNIST example, with images held in memory.

Two convolutions of 32 and 64 kernels, a hidden layer of 128 units, dropout, Adadelta at 1.0 that
falls to 0.7 of its rate after every epoch, 14 epochs at batch 64. Batches are gathered from memory
and channels_last, which is faster than the example's loader.

    python pytorch_mnist.py ARRAYS      # an arm: see serving.py

Answers `{"seed": s, "until": a}` with the accuracy after every epoch, up to the first that reaches
a; the seconds are those of training.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from serving import serve
from torch import nn
from torch.nn.functional import cross_entropy

EPOCHS, BATCH, RATE, DECAY = 14, 64, 1.0, 0.7
MEAN, DEVIATION = 0.1307, 0.3081


def make_net() -> nn.Module:
    """(B, 1, 28, 28) -> (B, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, arrays: str, epochs: int) -> None:
        with np.load(arrays) as held:
            self.images = normalised(held["images"])
            self.test_images = normalised(held["test_images"])
            self.labels = torch.from_numpy(held["labels"])
            self.test_labels = torch.from_numpy(held["test_labels"])
        self.epochs = epochs

    def measure(self, *, seed: int, until: float = 1.0) -> dict:
        """A whole run, or as much of it as reaches that accuracy."""
        torch.manual_seed(seed)
        net = make_net()
        optimizer = torch.optim.Adadelta(net.parameters(), RATE)
        seconds, curve = 0.0, []
        for _ in range(self.epochs):
            start = time.perf_counter()
            self._train(net, optimizer)
            optimizer.param_groups[0]["lr"] *= DECAY
            seconds += time.perf_counter() - start
            curve.append((seconds, self._accuracy(net)))
            if curve[-1][1] >= until:
                break
        return {"accuracy": curve[-1][1], "seconds": seconds, "curve": curve}

    def _train(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        net.train()
        for places in torch.randperm(len(self.labels)).split(BATCH):
            loss = cross_entropy(net(self.images[places]), self.labels[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.inference_mode()
    def _accuracy(self, net: nn.Module) -> float:
        net.eval()
        found = torch.cat([net(part).argmax(1) for part in self.test_images.split(1000)])
        return float((found == self.test_labels).float().mean())


def normalised(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, 28, 28, 1) to fp32 (N, 1, 28, 28); with one channel both memory formats agree."""
    return ((torch.from_numpy(images).float() / 255 - MEAN) / DEVIATION).permute(0, 3, 1, 2)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images, labels, test_images, test_labels")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    serve(Arm(options.arrays, options.epochs).measure, "torch")


if __name__ == "__main__":
    main()
