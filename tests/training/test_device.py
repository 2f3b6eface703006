"""A step on another device: on "meta", whose tensors hold no numbers, whatever reads one fails.

So does whatever mixes tensors of two devices: what a GPU would wait for, or refuse, is found
without one. What a GPU computes is tested where there is one.
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from striate.data import batches, load_data
from striate.jobs.plan import make_plan
from striate.nets import auto_net
from striate.training import setup
from striate.training.loop import compute_gradients, move_weights
from striate.training.recipe import load_recipe
from striate.training.repeating import repeatable

DEVICE = torch.device("meta")
SETTINGS = [
    *(
        {"optimizer.name": name}
        for name in ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
    ),
    *({"loss.name": name} for name in ("square", "hinge", "logistic")),
    {"loss.class_weights": "balanced"},
    *({"average.name": name} for name in ("ema", "lookahead")),
    {f"regularize.{name}": 0.1 for name in ("l1", "l2", "jitter", "activation_l1", "clip_norm")},
    *({f"regularize.{name}": 0.4} for name in ("mixup", "cutmix")),
    {"augment.crop": 0.5, "augment.rotate": 20.0, "augment.flip": "random", "augment.cutout": 8},
    {f"augment.{name}": 0.2 for name in ("brightness", "contrast", "saturation", "hue")},
]
NETS = [
    "conv3-8 bn relu maxpool2 dropout0.5 conv3-8/2g2 silu avgpool2 lrn fc-10",
    "local3-8 ln leaky l2pool2 (conv1-8 | skip) maxpool2 unpool2 tconv3-8/2 nails2 gap fc-10",
]


@pytest.fixture
def begun(monkeypatch):
    """Give the task and the state of a training on the device."""
    known = torch.autocast  # to which meta is unknown
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *_, **__: nullcontext() if kind == "meta" else known(kind, *_, **__),
    )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    data = load_data((images, np.arange(64) % 10)).split(validation=0.2, test=0)

    def make(net=None, device=DEVICE, precision="fp32", **settings):
        net = net or auto_net(size=(32, 32), channels=3, classes=10, images=64)[0]
        recipe = load_recipe("fast").with_settings({"batch_size": 16, "epochs": 2, **settings})
        plan, _ = make_plan(data, net=net, recipe=recipe, seed=0, device="cpu")
        there = {**plan.to_json(), "precision": precision}
        plan = setup.Plan.from_json(there)
        object.__setattr__(plan, "device", device)  # no machine has one to choose
        task, state = setup.prepare(plan, data)
        state.begin_training()
        return task, state

    return make


class NoWaiting(TorchDispatchMode):
    """Refuses copies to the device that wait until they have arrived, as CUDA's do unless told."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            sent = args[0].device.type == "cpu" and kwargs.get("device") == DEVICE
            assert not sent or kwargs.get("non_blocking"), "a copy that waits"
        return func(*args, **kwargs)


def take_steps(task, state):
    """An epoch of them; returns what the last one's gradients lie on."""
    assert task.batches.steps > 1
    with NoWaiting():
        for batch in task.batches.epoch(0):
            assert (batch.images.device, batch.labels.device) == (DEVICE, DEVICE)
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
            compute_gradients(task, state, batch)
            move_weights(task, state)
    return {p.grad.device for p in state.module.parameters() if p.grad is not None}


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_a_step_reads_nothing_back(settings, resident, begun, monkeypatch):
    monkeypatch.setattr(batches, "can_reside", lambda *_: resident)
    assert take_steps(*begun(**settings)) == {DEVICE}


@pytest.mark.parametrize("net", NETS)
def test_nor_does_any_layer(net, begun):
    assert take_steps(*begun(net)) == {DEVICE}


def test_validation_reads_its_sums_at_the_end(begun, monkeypatch):
    monkeypatch.setattr(setup, "images_at_a_time", lambda *_: 4)  # so that there are several parts
    task, state = begun()
    seen, forward = [], state.module.forward
    state.module.forward = lambda images: seen.append(len(images)) or forward(images)
    with NoWaiting(), pytest.raises(RuntimeError, match="item"):
        task.validate(state)
    assert len(seen) == -(-sum(seen) // 4) > 1


def test_a_copy_that_waits_is_found():
    with NoWaiting(), pytest.raises(AssertionError, match="a copy that waits"):
        torch.zeros(2).to(DEVICE)


def test_what_reads_a_number_is_found(begun):
    task, state = begun()
    state.module.register_forward_hook(lambda _, __, output: print(float(output.sum())))
    with pytest.raises(RuntimeError, match="item"):
        take_steps(task, state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kernels", ["on", "compiled"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("net", [None, *NETS])
def test_steps_on_a_gpu_repeat_to_the_bit(net, precision, kernels, begun):
    gpu, ends = torch.device("cuda"), []
    for _ in range(2):
        with repeatable(gpu, 1):
            task, state = begun(net, gpu, precision, kernels=kernels)
            for batch in task.batches.epoch(0):
                compute_gradients(task, state, batch)
                move_weights(task, state)
        ends.append(state.module.state_dict())
    for name, weight in ends[0].items():
        assert torch.equal(weight, ends[1][name]), name
