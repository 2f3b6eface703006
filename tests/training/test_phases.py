"""The parts of a real training step: those that are timed, and what they count."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from striate.data import load_data
from striate.jobs.plan import make_plan
from striate.training.loop import compute_gradients
from striate.training.multiplying import multiplying_layers
from striate.training.phases import FEWEST, measure_phases
from striate.training.recipe import load_recipe
from striate.training.setup import prepare


@pytest.fixture
def prepared(tiny_data):
    def build(net, **settings):
        data = load_data(tiny_data).split(seed=0)
        recipe = load_recipe("fast").with_settings({"batch_size": 16, **settings})
        plan, _ = make_plan(data, net=net, recipe=recipe, seed=0, device="cpu")
        return prepare(plan, data)

    return build


def test_the_parts_of_a_step(prepared):
    task, state = prepared("whiten2 gelu conv3-8b0 bnw0 gelu conv3-8b0 bnw0 gelu fc-3b0")
    times = measure_phases(task, state, seconds=0.001)
    assert times.steps == FEWEST
    assert min(times.seconds, times.gather, times.optimizer, times.pointwise) > 0
    assert times.gather_bytes == 16 * 64 * (1 + 4)
    assert times.pointwise_bytes > 0
    found = {name: [one for layer, one in times.products if layer == name] for name, _ in
             times.products}  # fmt: skip
    assert found["whiten1"] == ["forward"]
    assert sorted(found["conv1"]) == ["forward", "weight gradient"]  # the whitening stands still
    assert sorted(found["conv2"]) == ["forward", "input gradient", "weight gradient"]


def test_steps_are_taken_in_the_middle_of_the_run(prepared):
    task, state = prepared("conv3-8 relu fc-3")
    before = [parameter.clone() for parameter in state.module.parameters()]
    measure_phases(task, state, seconds=0.001)
    assert state.step == task.epochs * task.batches.steps // 2
    assert 0.5 < state.progress < 0.51
    assert all(
        not torch.equal(old, new)
        for old, new in zip(before, state.module.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "counts"),
    [({}, True), ({"optimizer": {"name": "adam", "lr": 1e-3}}, False)],
    ids=["muon", "adam"],
)
def test_products_of_the_optimiser(prepared, settings, counts):
    task, state = prepared("conv3-8 relu fc-3", **settings)
    assert (measure_phases(task, state, seconds=0.001).optimizer_flop > 0) is counts


@pytest.mark.parametrize(
    "net",
    [
        "conv3-8 relu maxpool2 conv3-8 bn relu conv1-4 relu fc-9 relu fc-3",
        "conv3-8 relu (conv1-4 | local3-6g2) relu fc-3",
        "conv3-8/2 relu tconv2-4/2 relu fc-3",
    ],
)
def test_multiply_adds_are_those_that_pytorch_counts(prepared, net):
    task, state = prepared(net)
    state.begin_training()
    with FlopCounterMode(display=False) as counter:
        compute_gradients(task, state, next(iter(task.batches.epoch(0))))
    products = measure_phases(task, state, seconds=0.001).products
    layers = {layer.name: layer.work.multiply_adds for layer in multiplying_layers(state.module)}
    counted = sum(2 * 16 * layers[name] for name, _ in products)
    assert counted == counter.get_total_flops()
