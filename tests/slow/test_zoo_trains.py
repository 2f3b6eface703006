"""Every small net of the zoo learns from real images in one epoch; every other one runs both ways.

The nets for MNIST see 2,000 digits. Those for CIFAR-10 tell airplanes from frogs, on as many images
as a few seconds allow: of two classes alike in number, nothing is learned from their shares. Their
convolutions start by passing their input on (`initialize.name = "dirac"` in a recipe), without
which the plain nets of 56 and 110 layers learn next to nothing from so few.
"""

import gc
import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import striate
from striate.nets import load_net, zoo_nets

pytestmark = pytest.mark.slow
real_data = pytest.mark.skipif("STRIATE_DATA" not in os.environ, reason="needs STRIATE_DATA")

SMALL = [entry.name for entry in zoo_nets() if max(load_net(entry.name).summary().input[:2]) <= 32]
LARGE = [entry.name for entry in zoo_nets() if entry.name not in SMALL]
AUTOENCODERS = [name for name in SMALL if name.startswith("autoencoder")]
CLASSIFIERS = [name for name in SMALL if name not in AUTOENCODERS]
BATCH = 10
FEW = {"resnet18-cifar": 200, "densenet40": 200, "densenet100-bc": 200, "plain110": 300}
MANY = 400


@pytest.fixture(scope="module")
def mnist() -> striate.Data:
    return striate.load_data("mnist")


@pytest.fixture(scope="module")
def cifar10() -> striate.Data:
    return striate.load_data("cifar10")


def chosen(data: striate.Data, classes: tuple[int, ...], count: int) -> tuple[Tensor, Tensor]:
    """The first `count` images of some classes, float (N, C, H, W) from 0 to 1, and labels."""
    places = np.flatnonzero(np.isin(data.labels[:20_000], classes))[:count]
    images = torch.from_numpy(np.asarray(data.images[places])).permute(0, 3, 1, 2) / 255
    return images, torch.from_numpy(np.searchsorted(classes, data.labels[places]))


def pass_inputs_on(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight.data[: layer.in_channels])


def falls(
    module: nn.Module, inputs: Tensor, targets: Tensor, criterion: nn.Module, rate: float = 1e-3
) -> bool:
    """One epoch of plain steps; whether the last quarter's loss is clearly below the first's."""
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    losses = []
    for images, wanted in zip(inputs.split(BATCH), targets.split(BATCH), strict=True):
        loss = criterion(module(images), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    quarter = len(losses) // 4
    return sum(losses[-quarter:]) < 0.9 * sum(losses[:quarter])


@real_data
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_learns(name: str, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    net = load_net(name)
    height, _, channels = net.summary().input
    if channels == 3:
        data = request.getfixturevalue("cifar10")
        images, labels = chosen(data, (0, 6), FEW.get(name, MANY))
        module = net.with_classes(2).build()
        pass_inputs_on(module)
        assert falls(module, (images - 0.45) / 0.25, labels, nn.CrossEntropyLoss())
        return
    digits = tuple(range(net.summary().layers[-1].output[2]))
    images, labels = chosen(request.getfixturevalue("mnist"), digits, 2_000)
    framed = nn.functional.pad(images, [(height - 28) // 2] * 4)  # for LeNet-5
    assert falls(net.build(), framed, labels, nn.CrossEntropyLoss(), 5e-3)


@real_data
@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_learns(name: str, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    net = load_net(name)
    if name == "autoencoder-8-3-8":
        images = torch.eye(8).repeat(250, 1).view(2_000, 1, 1, 8)
    else:
        data = "cifar10" if net.summary().input[2] == 3 else "mnist"
        images, _ = chosen(request.getfixturevalue(data), tuple(range(10)), 2_000)
    assert falls(net.build(), images, images, nn.MSELoss())


@pytest.fixture
def _memory_given_back() -> Iterator[None]:
    yield
    gc.collect()


@pytest.mark.usefixtures("_memory_given_back")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_net_runs_forward_and_backward_at_its_own_size(name: str) -> None:
    height, width, channels = load_net(name).summary().input
    module = load_net(name).build()
    logits = module(torch.rand(1, channels, height, width))
    assert logits.shape == (1, 1000)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
