"""LeNet-5 learns as in plain PyTorch: same weights, same batches, same losses to rounding."""

from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from striate.data import Data
from striate.jobs.plan import make_plan
from striate.training.events import Events
from striate.training.folder import RunFolder
from striate.training.loop import fit
from striate.training.recipe import load_recipe
from striate.training.setup import prepare

BATCH, EPOCHS, RATE = 256, 25, 0.2  # of two steps each: 50 steps


class Losses(Events):
    """The mean loss of every epoch."""

    def __init__(self):
        self.means = []

    def measured(self, measurement):
        self.means.append(measurement.train_loss)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = np.arange(2 * BATCH) % 10
    patterns = generator.integers(0, 200, (10, 28, 28), dtype=np.uint8)
    noise = generator.integers(0, 56, (2 * BATCH, 28, 28), dtype=np.uint8)
    return Data.from_arrays(patterns[labels] + noise, labels).split(validation=0, test=0)


def plain_lenet5():
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
        nn.Linear(84, 10),
    )


def losses_of_plain_pytorch(weights, batches):
    net = plain_lenet5()
    with torch.no_grad():
        for parameter, weight in zip(net.parameters(), weights, strict=True):
            parameter.copy_(weight)
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    means = []
    for epoch in range(EPOCHS):
        losses = []
        for batch in batches.epoch(epoch):
            loss = cross_entropy(net(batch.images.contiguous()), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    return means


def test_fifty_steps_of_lenet5_have_the_losses_of_plain_pytorch(data, tmp_path):
    recipe = load_recipe("lecture").with_settings({
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "optimizer.lr": RATE,
    })  # fmt: skip
    plan, _ = make_plan(data, net="lenet5", recipe=recipe, seed=0, device="cpu")
    task, state = prepare(plan, data)
    weights = [parameter.detach().clone() for parameter in state.module.parameters()]
    ours = Losses()
    with closing(RunFolder.create(tmp_path / "run")) as folder:
        fit(task, state, folder, ours)
    plain = losses_of_plain_pytorch(weights, task.batches)
    assert state.step == 50
    assert plain[-1] < 0.7 * plain[0]  # it learned something, so the curves are not flat
    np.testing.assert_allclose(ours.means, plain, rtol=2e-4)
