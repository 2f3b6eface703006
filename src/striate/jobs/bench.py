"""This machine's ceilings, and how near the training of a net comes to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from striate.data import TRAIN, Data, named_sets
from striate.errors import UsageError
from striate.jobs.plan import make_plan
from striate.jobs.reload import load_choices
from striate.kernels import keep_freed_memory, processor
from striate.nets import Net, NetModule, auto_net, load_net
from striate.nets.memory import training_bytes
from striate.report.performance import Bench, LayerPhase, Phase
from striate.training.ceilings import measure_ceilings
from striate.training.events import Events
from striate.training.machine import describe_machine
from striate.training.multiplying import multiplying_layers
from striate.training.operators import PASSES
from striate.training.phases import StepTimes, measure_phases
from striate.training.recipe import Recipe, load_recipe
from striate.training.repeating import limited_threads, repeatable
from striate.training.resolve import automatic_batch_size
from striate.training.setup import Plan, prepare

Size = tuple[int, int, int]  # H, W, C

DEFAULT_SECONDS = 10.0
MADE_UP_INPUT: Size = (32, 32, 3)
MADE_UP_CLASSES = 10
MADE_UP_IMAGES = 50_000  # as the choices by the number of images see it; but no more are made ...
MOST_BYTES = 2**28  # ... than fit in here: too many for a cache, as those of a real set are
LARGEST_STEP = 2e11  # multiply-adds forward; more would take seconds
MEMORY_SHARE = 0.25  # of the machine's
FEWEST_IMAGES = 2  # batch normalisation needs two
VALUE_BYTES = {"fp32": 4, "bf16": 2}


def bench(
    net: str | Net = "auto",
    *,
    data: str | Path | Data | None = None,
    input: Size | None = None,
    batch: int | None = None,
    seconds: float = DEFAULT_SECONDS,
    threads: int | None = None,
    events: Events | None = None,
    settings: Mapping[str, object] | None = None,
    **fields: object,
) -> Bench:
    """Measure the machine's ceilings, and where the time of a net's training step goes.

    The step is that of `striate.train` with the recipe `fast`, on the device that it would choose:
    its batches with their augmentation, its module, precision, loss and optimisers.

    Args:
        net: A net, its text, name or file, or "auto" for the one that the images would get. The
            name of a data set stands for "auto" on these data.
        data: What `striate.load_data` takes; without it, images are made up.
        input: Height, width and channels of made-up images; the net's own if not given, else
            32x32x3.
        batch: Images in a step. If not given, the recipe's choice for so many images (50,000 made
            up), halved while a step would take seconds or a quarter of the memory.
        seconds: How long to measure steps; three of each kind are measured in any case.
        threads: Of the processor; PyTorch's own number if not given. As in training, a short step
            uses fewer of them.
        events: Who is told what happens.
        settings: Dotted fields of the recipe to change, as {"augment.cutout": 8}.
        fields: Fields of the recipe to change, as precision="fp32" or kernels="off".

    Raises:
        DataError: If the data cannot be used.
        NetError: If the net cannot be read, does not fit the images, or does not end in classes.
        UsageError: If an argument is out of range, or a setting is unknown.

    Examples:
        >>> import striate
        >>> found = striate.bench("lenet5")                           # doctest: +SKIP
        >>> found.images_per_second                                   # doctest: +SKIP
        17411.2
    """
    recipe = load_recipe("fast").with_settings({**(settings or {}), **fields})
    if recipe.kernels == "compiled":
        raise UsageError(
            "a compiled step has no phases", path="kernels", hint="on or off, or time a training"
        )
    if batch is None and recipe.batch_size != "auto":
        batch = int(recipe.batch_size)
    _refuse_out_of_range(batch=batch, seconds=seconds, threads=threads)
    events = events or Events()
    if data is None and net in [known.name for known in named_sets()]:
        net, data = "auto", str(net)
    if data is not None and input is not None:
        raise UsageError("input is for made-up images, and data are given", hint="leave one out")
    images = None if data is None else _load(data, recipe, events)
    chosen, count = _choose_net(net, input, images)
    batch = batch or _choose_batch(chosen, count, events)
    recipe = recipe.with_settings({"batch_size": batch})
    with limited_threads(threads or torch.get_num_threads()):
        used = _make_up(chosen, at_least=batch) if images is None else images
        plan, _ = make_plan(used, net=chosen, recipe=recipe, seed=0, device="auto")
        return _measure(plan, used, seconds=seconds, data=None if images is None else images.name)


def _refuse_out_of_range(*, batch: int | None, seconds: float, threads: int | None) -> None:
    for name, value, least in (("batch", batch, FEWEST_IMAGES), ("threads", threads, 1)):
        if value is not None and value < least:
            raise UsageError(f"{value} is too few", path=name, hint=f"{least} or more")
    if not 0 < seconds < math.inf:
        raise UsageError(f"{seconds:g} is no length of time", path="seconds", hint="more than 0")


def _load(data: str | Path | Data, recipe: Recipe, events: Events) -> Data:
    loaded = load_choices(data, recipe.data, events.stored)
    return loaded.split(validation=recipe.data.validation, test=recipe.data.test, seed=0)


def _choose_net(net: str | Net, input: Size | None, images: Data | None) -> tuple[Net, int]:
    """The net for the images, and the number of images that choices go by."""
    loaded = None if net == "auto" else load_net(net)
    count, classes = MADE_UP_IMAGES, None
    size = input or (loaded and loaded.input) or MADE_UP_INPUT
    if images is not None:
        count, classes = len(images.indices(TRAIN)), len(images.classes)
        height, width, channels = images.images.shape[1:]
        size = (height, width, channels)
    elif size[2] not in (1, 3):
        raise UsageError(f"made-up images of {size[2]} channels", path="input", hint="1 or 3")
    if loaded is None:
        classes = classes or MADE_UP_CLASSES
        return auto_net(size=size[:2], channels=size[2], classes=classes, images=count)[0], count
    adapted = loaded.adapted_to(size)
    return adapted.with_classes(classes or max(2, adapted.trace().output.size)), count


def _choose_batch(net: Net, images: int, events: Events) -> int:
    """The recipe's batch, halved until a step is short and small."""
    traced, products = net.trace(), net.summary().multiply_adds
    memory = int(describe_machine(torch.device("cpu"))["memory_gib"]) * 2**30 * MEMORY_SHARE
    usual = batch = automatic_batch_size(images)
    while batch >= 2 * FEWEST_IMAGES and (
        batch * products > LARGEST_STEP or training_bytes(traced, batch) > memory > 0
    ):
        batch //= 2
    if batch < usual:
        events.say(f"batch size {batch}: a step of {usual} would be long or large here")
    return batch


def _make_up(net: Net, *, at_least: int) -> Data:
    """Images of random pixels, of all the net's classes."""
    size, classes = net.trace().input.size, net.trace().output.size
    count = max(at_least, classes, min(MADE_UP_IMAGES, MOST_BYTES // size))
    pixels = np.random.default_rng(0).integers(0, 256, (count, *(net.input or ())), dtype=np.uint8)
    made_up = Data.from_arrays(pixels, np.arange(count) % classes, name="made-up images")
    return made_up.split(validation=0.0, test=0.0)


def _measure(plan: Plan, images: Data, *, seconds: float, data: str | None) -> Bench:
    threads = torch.get_num_threads()
    keep_freed_memory()
    ceilings = measure_ceilings(plan.device)
    with repeatable(plan.device, plan.threads):
        task, state = prepare(plan, images)
        times = measure_phases(task, state, seconds=seconds)
    ceilings = ceilings.or_more(measure_ceilings(plan.device))
    batch = task.batches.together
    layers = tuple(_layer_phases(state.module, times, batch=batch, precision=plan.precision))
    machine = describe_machine(plan.device)
    height, width, channels = state.module.input
    return Bench(
        device=plan.device.type,
        processor=str(machine.get("gpu", machine["processor"])),
        threads=threads,
        torch=torch.__version__,
        kernels="off" if plan.recipe.kernels == "off" else processor(),
        ceilings=ceilings,
        net=plan.net.text,
        input=(height, width, channels),
        data=data,
        batch=batch,
        precision=plan.precision,
        step_threads=plan.threads,
        steps=times.steps,
        seconds=times.seconds,
        range=times.range,
        phases=tuple(_phases(times, layers)),
        layers=layers,
    )


def _layer_phases(
    module: NetModule, times: StepTimes, *, batch: int, precision: str
) -> Iterator[LayerPhase]:
    """The passes of the layers that multiply, in the order of the net.

    Each pass has the same products, and reads or writes input, output and weights once.
    """
    for layer in multiplying_layers(module):
        values = batch * (layer.work.input.size + layer.work.output.size) + layer.weights.numel()
        for one in PASSES:
            if (layer.name, one) in times.products:
                phase = Phase(
                    name=one,
                    seconds=times.products[layer.name, one],
                    flop=2 * batch * layer.work.multiply_adds,
                    bytes=VALUE_BYTES[precision] * values,
                )
                yield LayerPhase(layer=layer.name, text=layer.text, phase=phase)


def _phases(times: StepTimes, layers: Sequence[LayerPhase]) -> Iterator[Phase]:
    """The parts of the step; the last is what the others leave of it."""
    found = [Phase("gather", times.gather, bytes=times.gather_bytes)]
    for one in PASSES:
        parts = [part.phase for part in layers if part.phase.name == one]
        found.append(
            Phase(
                name=one,
                seconds=sum(part.seconds for part in parts),
                flop=sum(part.flop for part in parts),
                bytes=sum(part.bytes for part in parts),
            )
        )
    found.append(Phase("pointwise", times.pointwise, bytes=times.pointwise_bytes))
    found.append(Phase("optimiser", times.optimizer, flop=times.optimizer_flop))
    yield from found
    yield Phase("other", times.seconds - sum(phase.seconds for phase in found))
