"""The choices that are left open, made and said."""

import dataclasses

import numpy as np
import pytest
import torch

from striate.data import Data
from striate.errors import NetError, RecipeError, UsageError
from striate.jobs.plan import make_plan
from striate.training.recipe import Recipe


def some(images=120, side=8, channels=1, classes=3, mirror=None):
    labels = np.arange(images) % classes
    pixels = np.random.default_rng(0).integers(0, 256, (images, side, side, channels), np.uint8)
    data = Data.from_arrays(pixels, labels).split()
    return dataclasses.replace(data, mirror=mirror)


def plan_of(data, net="auto", recipe=None, device="cpu", seed=0):
    return make_plan(data, net=net, recipe=recipe or Recipe(), seed=seed, device=device)


def test_nothing_is_left_open_and_each_choice_is_said():
    plan, notes = plan_of(some(side=16, channels=3))
    assert "auto" not in plan.recipe.model_dump_json().replace('"precision":"auto"', "")
    assert plan.precision in ("fp32", "bf16")
    assert plan.device == torch.device("cpu")
    assert plan.threads >= 1
    text = "\n".join(notes)
    for said in ("whitened net", "batch size", "epochs: chosen", "mirrored", plan.precision):
        assert said in text


def test_a_net_of_ones_own_gets_the_classes_and_the_input():
    plan, notes = plan_of(some(classes=5), net="conv3-4 relu gap fc-10")
    assert plan.net.text == "input 8x8x1 conv3-4 relu gap fc-5"
    assert plan.net.input == (8, 8, 1)
    assert notes[0] == "net 'conv3-4 relu gap fc-10', as asked for"


def test_what_a_net_of_ones_own_probably_does_not_mean_is_said():
    _, notes = plan_of(some(), net="conv3-4/3p0 relu fc-3")
    assert any("not whole" in note for note in notes)


def test_a_net_that_does_not_fit_is_an_error():
    with pytest.raises(NetError):
        plan_of(some(), net="maxpool2 maxpool2 maxpool2 maxpool2 fc-3")


def test_a_large_step_is_shared_by_the_threads():
    small, _ = plan_of(some(), net="fc-3")
    large, _ = plan_of(some(side=64, channels=3), net="conv3-64 relu conv3-64 relu gap fc-3")
    assert small.threads == 1
    assert large.threads == torch.get_num_threads()


@pytest.mark.parametrize(
    ("net", "batch_size", "refused"),
    [
        ("gap bn fc-3", 1, True),
        ("fc-8 bnw0m0.4 relu fc-3", 1, True),
        ("fc-8 bn relu fc-3", 2, False),
        ("conv3-4 bn relu gap fc-3", 1, False),
        ("fc-8 ln relu fc-3", 1, False),
    ],
)
def test_batches_that_cannot_be_normalised_are_refused(net, batch_size, refused):
    recipe = Recipe().with_settings({"batch_size": batch_size})
    if refused:
        with pytest.raises(UsageError, match="one value a channel to normalise"):
            plan_of(some(), net=net, recipe=recipe)
    else:
        plan_of(some(), net=net, recipe=recipe)


def test_an_unknown_device():
    with pytest.raises(UsageError, match="unknown device"):
        plan_of(some(), device="abacus")


@pytest.mark.parametrize(("name", "value"), [("stop.patience", 3), ("stop.restarts", 2)])
def test_what_goes_by_validation_needs_validation_images(name, value):
    recipe = Recipe().with_settings({name: value})
    plan_of(some(), recipe=recipe)
    labels = np.arange(30) % 3
    data = Data.from_arrays(np.zeros((30, 8, 8), np.uint8), labels).split(validation=0)
    with pytest.raises(RecipeError, match=f"{name} goes by the validation loss.*--validation 0.1"):
        plan_of(data, recipe=recipe)
