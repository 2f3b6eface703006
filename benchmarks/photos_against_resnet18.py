"""Photos: Striate's defaults against a plain PyTorch ResNet-18 given the same wall time.

    python benchmarks/photos_against_resnet18.py FOLDER [--seeds 3] [--size 128]

For each seed Striate trains from the folder as it is, with its defaults; the wall time of the
whole job, the decoding of the photos included, is the peer's budget for training alone. The peer
sees the same split. It is given what a careful user gives it: photos decoded once beforehand and
not counted, random crops and mirrors, momentum with a one-cycle rate fitted to the time, bf16 in
channels_last. Both are tested on the same photos.
"""

import argparse
import json
import statistics
import tempfile
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import striate
from striate.data import TEST, TRAIN, VALIDATION
from striate.evaluation import wilson_interval

BATCH = 32


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
        same = inputs == outputs and stride == 1
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.skip(x))


def resnet18(classes: int) -> nn.Module:
    """The ImageNet form, as torchvision's."""
    widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [b for i, o, s in widths for b in (Block(i, o, s), Block(o, o, 1))]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *head)


def normalised(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, C) to fp32 (N, C, H, W) in channels_last, about zero."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (pixels / 127.5 - 1).to(memory_format=torch.channels_last)


def random_crops(images: Tensor) -> Tensor:
    """One random crop of a quarter to all of the area for the batch, scaled back, and mirrors."""
    side = images.shape[2]
    crop = int(side * np.sqrt(np.random.uniform(0.25, 1)))
    top, left = np.random.randint(0, side - crop + 1, 2)
    cut = images[:, :, top : top + crop, left : left + crop]
    cut = interpolate(cut, size=(side, side), mode="bilinear", align_corners=False)
    mirror = torch.rand(len(images)) < 0.5
    return torch.where(mirror[:, None, None, None], cut.flip(3), cut)


def train_peer(data: striate.Data, seconds: float, seed: int) -> tuple[float, int]:
    """Test accuracy and epochs of the ResNet-18 after that much training."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    chosen = np.flatnonzero((data.splits == TRAIN) | (data.splits == VALIDATION))
    images, labels = normalised(data.images[chosen]), torch.from_numpy(data.labels[chosen])
    net = resnet18(len(data.classes)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, nesterov=True, weight_decay=5e-4)
    start, epochs = time.monotonic(), 0
    while (passed := (time.monotonic() - start) / seconds) < 1:
        for batch in torch.randperm(len(labels)).split(BATCH)[: len(labels) // BATCH]:
            passed = min(1.0, (time.monotonic() - start) / seconds)
            rate = 0.05 * min(passed / 0.2 + 0.02, (1 - passed) / 0.8)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(net(random_crops(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if passed >= 1:
                break
        epochs += 1
    net.eval()
    places = data.indices(TEST)
    with torch.inference_mode():
        predicted = net(normalised(data.images[places])).argmax(1).numpy()
    return float((predicted == data.labels[places]).mean()), epochs


def main() -> None:
    """Run both arms for each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="side of the peer's images")
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            start = time.monotonic()
            run = striate.train(options.folder, seed=seed, out=f"{scratch}/run")
            seconds = time.monotonic() - start
            recipe = json.loads((run.path / "run.json").read_text())["recipe"]
        shares = recipe["data"]
        data = striate.load_data(options.folder, size=options.size)
        data = data.split(validation=shares["validation"], test=shares["test"], seed=seed)
        peer, epochs = train_peer(data, seconds, seed)
        low, high = run.test["interval"]
        rows.append((run.test["accuracy"], peer))
        print(
            f"seed {seed}: Striate {run.test['accuracy']:.1%} [{low:.1%}, {high:.1%}], "
            f"ResNet-18 {peer:.1%} ({epochs} epochs), {seconds:.0f} s each",
            flush=True,
        )
    images = options.seeds * len(data.indices(TEST))
    for name, accuracies in zip(("Striate", "ResNet-18"), zip(*rows, strict=True), strict=True):
        mean = statistics.mean(accuracies)
        low, high = wilson_interval(round(mean * images), images)
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(f"{name}: mean {mean:.1%}, spread {spread:.1%}, pooled [{low:.1%}, {high:.1%}]")


if __name__ == "__main__":
    main()
