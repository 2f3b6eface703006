"""The whitened net and its recipe in plain PyTorch, as fast as PyTorch runs it unaided.

A frozen 2x2 whitening convolution, then groups of [conv3 - maxpool2 - BN - GELU - conv3 - BN -
GELU], the largest value of what remains, and a linear head; Dirac initialisation, Muon on the
convolutions and Nesterov SGD for the rest, label smoothing, a linear fall of the rate, reflected
shifts and alternating mirroring. After K. Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU
(2024), written anew. channels_last throughout, bf16 by autocast, batches gathered from one array,
which lies where the net does: on a GPU no pixel travels in a step, and nothing waits for it.

    python pytorch_whitened.py ARRAYS [--recipe JSON] [--device cuda] [--compile]  # see serving.py

Answers `{"seed": s}` with a whole run, and `{"images": n, "seconds": s}` with a block of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from serving import serve, timed_steps
from torch import Tensor, nn
from torch.nn import functional as F

MUON_RATE, MUON_MOMENTUM = 0.24, 0.6
SIDE_RATE, SIDE_MOMENTUM, HEAD_RATE = 0.053, 0.85, 0.67  # of the loss summed over a batch
DECAY = 2e-6
WHITEN_EPOCHS, WHITEN_IMAGES, WHITEN_EPSILON = 3, 5000, 5e-4
TEST_BATCH = 1000


@dataclass(frozen=True)
class Recipe:
    """What is chosen for a data set; the rest is as above."""

    widths: tuple[int, ...] = (64, 256, 256)
    epochs: float = 8
    batch: int = 1000
    flip: bool = True
    translate: int = 2
    label_smoothing: float = 0.2
    views: int = 2
    unsure: float = 1.0  # the share of images that is seen in all views
    precision: str = "bf16"


class Images:
    """Images in memory, normalised and augmented as they are gathered.

    Args:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        recipe: How to augment.
        device: Where they lie.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, recipe: Recipe, device: torch.device
    ) -> None:
        margin = recipe.translate
        edges = ((0, 0), (margin, margin), (margin, margin), (0, 0))
        self.padded = torch.from_numpy(np.pad(images, edges, mode="reflect")).to(device)
        self.labels = torch.from_numpy(labels).to(device)
        self.recipe = recipe
        self.side = images.shape[1:3]
        pixels = images.reshape(-1, images.shape[3]) / np.float32(255)
        self.mean = torch.from_numpy(pixels.mean(0)).to(device)
        self.std = torch.from_numpy(pixels.std(0)).to(device)
        self.mirrored_first = torch.rand(len(labels), device=device) < 0.5

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, C) to fp32 (B, C, H, W) in channels_last."""
        scale, shift = 1 / (255 * self.std), -self.mean / self.std
        return torch.addcmul(shift, pixels.float(), scale).permute(0, 3, 1, 2)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches in a new order; an image is mirrored every second time."""
        order = torch.randperm(len(self.labels), device=self.labels.device)
        for start in range(0, len(order) - self.recipe.batch + 1, self.recipe.batch):
            places = order[start : start + self.recipe.batch]
            yield self._gather(places, epoch), self.labels[places]

    def _gather(self, places: Tensor, epoch: int) -> Tensor:
        height, width = self.side
        count, span = len(places), 2 * self.recipe.translate + 1
        device = places.device
        rows = torch.randint(span, (count, 1), device=device) + torch.arange(height, device=device)
        columns = torch.arange(width, device=device).expand(count, -1)
        if self.recipe.flip:
            mirrored = self.mirrored_first[places] ^ (epoch % 2 == 1)
            columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        columns = columns + torch.randint(span, (count, 1), device=device)
        return self.normalised(
            self.padded[places[:, None, None], rows[:, :, None], columns[:, None]]
        )


class Group(nn.Sequential):
    """Two 3x3 convolutions that halve the map between them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            norm(outputs),
            nn.GELU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
            nn.GELU(),
        )


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with a shift and no scale, whose statistics follow the last batches."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


class Net(nn.Module):
    """The whitened net; its whitening is set by `whiten`."""

    def __init__(self, channels: int, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(channels, 8 * channels, 2)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)
        before = (8 * channels, *widths[:-1])
        self.groups = nn.Sequential(*(Group(i, o) for i, o in zip(before, widths, strict=True)))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        for layer in self.groups.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight.data[: layer.in_channels])
        self.head.weight.data /= self.head.weight.data.std()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, K)."""
        x = self.groups(F.gelu(self.whitening(x))).amax((2, 3))
        return self.head(x) / x.shape[1]

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the whitening to the eigenvectors of 2x2 patches of (N, C, H, W)."""
        patches = F.unfold(images.contiguous(), 2).transpose(1, 2).flatten(0, 1).double()
        values, vectors = torch.linalg.eigh(torch.cov(patches.T))
        filters = (vectors / (values + WHITEN_EPSILON).sqrt()).T.flip(0)
        filters = filters.float().view(-1, *self.whitening.weight.shape[1:])
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum; the weights are brought back to a fixed norm first."""

    def __init__(self, parameters: list[nn.Parameter], rate: float, dtype: torch.dtype) -> None:
        super().__init__(parameters, {"lr": rate})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """Move each weight (K, C, F, F), read as a matrix with K rows."""
        for group in self.param_groups:
            for weight in group["params"]:
                held = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                held.mul_(MUON_MOMENTUM).add_(weight.grad)
                update = weight.grad.add(held, alpha=MUON_MOMENTUM)
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                # in channels_last the window comes before the inputs: a view, not a copy
                matrix = orthogonal(update.permute(0, 2, 3, 1).flatten(1).to(self.dtype))
                step = matrix.view(*weight.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
                weight.add_(step.to(weight.dtype), alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Three Newton-Schulz steps towards the nearest orthogonal matrix."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(3):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Training:
    """A net, its optimisers and its place in the schedule."""

    def __init__(self, data: Images, recipe: Recipe, classes: int, *, compiled: bool) -> None:
        self.recipe = recipe
        self.steps = len(data.labels) // recipe.batch
        self.total = max(1, round(recipe.epochs * self.steps))
        self.done = 0
        self.bf16 = recipe.precision == "bf16"
        channels = data.padded.shape[3]
        self.device = data.padded.device
        self.net = Net(channels, recipe.widths, classes)
        self.net.to(self.device, memory_format=torch.channels_last)
        margin = recipe.translate
        inside = slice(margin, -margin or None)
        self.net.whiten(data.normalised(data.padded[:WHITEN_IMAGES, inside, inside]))
        self.run = torch.compile(self.net) if compiled else self.net
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        """The recipe's rates are of the summed loss; ours is its mean over the batch."""
        net, batch = self.net, self.recipe.batch
        head_rate = HEAD_RATE * net.head.in_features / 256
        shifts = [m.bias for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        filters = [m.weight for m in net.groups.modules() if isinstance(m, nn.Conv2d)]
        groups = [
            group([net.head.weight], head_rate, batch),
            group(shifts, SIDE_RATE, batch),
            group([net.whitening.bias], SIDE_RATE, batch),
        ]
        self.side = torch.optim.SGD(groups, momentum=SIDE_MOMENTUM, nesterov=True, fused=True)
        self.muon = Muon(filters, MUON_RATE, torch.bfloat16 if self.bf16 else torch.float32)
        self.rates = [(g, g["lr"]) for g in (*self.side.param_groups, *self.muon.param_groups)]

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take a step; returns the loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.run(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        self.side.zero_grad()
        self.muon.zero_grad()
        loss.backward()
        whitening = max(0.0, 1 - self.done / (WHITEN_EPOCHS * self.steps))
        for place, (group, rate) in enumerate(self.rates):
            group["lr"] = rate * (whitening if place == 2 else max(0, 1 - self.done / self.total))
        if whitening == 0:  # no gradient goes through the whitening from here on
            self.net.whitening.bias.requires_grad_(False)
            self.net.whitening.bias.grad = None
        self.side.step()
        self.muon.step()
        self.done += 1
        return loss.detach()

    @torch.inference_mode()
    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """The share of right answers; the least sure images are seen in all views."""
        self.net.eval()
        views, unsure = self.recipe.views, self.recipe.unsure
        logits = self._logits(images, 1 if unsure < 1 else views)
        if unsure < 1:
            best = logits.topk(2).values
            count = math.ceil(unsure * len(images) - 1e-6)
            chosen = (best[:, 0] - best[:, 1]).topk(count, largest=False).indices
            logits[chosen] = self._logits(images[chosen], views)
        return float((logits.argmax(1) == labels).float().mean())

    def _logits(self, images: Tensor, views: int) -> Tensor:
        """The mean over one, two or six views of each image."""
        parts = []
        for part in images.split(TEST_BATCH):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                parts.append(sum(self.net(view).float() for view in self._views(part, views)))
        return torch.cat(parts) / views

    @staticmethod
    def _views(images: Tensor, views: int) -> Iterator[Tensor]:
        moved = [images]
        if views == 6:  # by one pixel, up and left, and down and right
            padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
            moved += [padded[:, :, :-2, :-2], padded[:, :, 2:, 2:]]
        for view in moved:
            yield view
            if views > 1:
                yield view.flip(3)


def group(parameters: list[nn.Parameter], rate: float, batch: int) -> dict:
    """Parameters of plain SGD, with the decay that the sum over a batch asks for."""
    return {"params": parameters, "lr": rate * batch, "weight_decay": DECAY / rate}


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, arrays: str, recipe: Recipe, device: str, *, compiled: bool) -> None:
        with np.load(arrays) as held:
            self.arrays = {name: held[name] for name in held.files}
        self.recipe, self.device, self.compiled = recipe, torch.device(device), compiled
        self._training, self._batches = None, iter(())

    def measure(self, *, seed: int = 0, images: int = 0, seconds: float = 0.0) -> dict:
        """A block of steps if images are asked for, else a whole run."""
        return self._block(images, seconds) if images else self._run(seed)

    def _start(self, seed: int) -> tuple[Images, Training]:
        torch.manual_seed(seed)
        arrays = (self.arrays["images"], self.arrays["labels"])
        data = Images(*arrays, self.recipe, self.device)
        classes = int(data.labels.max()) + 1
        return data, Training(data, self.recipe, classes, compiled=self.compiled)

    def _run(self, seed: int) -> dict:
        data, training = self._start(seed)
        self._wait()
        start = time.perf_counter()
        epoch = 0
        while training.done < training.total:
            for images, labels in data.epoch(epoch):
                training.step(images, labels)
                if training.done == training.total:
                    break
            epoch += 1
        self._wait()
        trained = time.perf_counter()
        pixels = torch.from_numpy(self.arrays["test_images"]).to(self.device)
        truth = torch.from_numpy(self.arrays["test_labels"]).to(self.device)
        accuracy = training.accuracy(data.normalised(pixels), truth)
        tested = time.perf_counter()
        return {"accuracy": accuracy, "seconds": trained - start, "test_seconds": tested - trained}

    def _wait(self) -> None:
        """Until a GPU has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _block(self, images: int, seconds: float) -> dict:
        if self._training is None:
            data, self._training = self._start(0)
            self._training.total = 1_000_000  # the rate stays
            self._batches = (batch for epoch in range(1_000_000) for batch in data.epoch(epoch))
            self._one_step()
        return timed_steps(self._one_step, images=images, seconds=seconds)

    def _one_step(self) -> int:
        self._training.step(*next(self._batches))
        self._wait()
        return self.recipe.batch


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images, labels, test_images, test_labels")
    parser.add_argument("--recipe", type=json.loads, default={}, help="fields of Recipe, as JSON")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    recipe = Recipe(**options.recipe)
    arm = Arm(options.arrays, recipe, options.device, compiled=options.compile)
    serve(arm.measure, "torch")


if __name__ == "__main__":
    main()
