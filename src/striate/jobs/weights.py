"""Weights to start from: which net they are for, how images are then read, what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from torch import Tensor

from striate.data import Data
from striate.errors import ModelError, NetError, RecipeError, UsageError
from striate.model.pretrained import Fitted, Pretrained, open_pretrained
from striate.nets import Net, load_net
from striate.nets.stages import cut_stages
from striate.training.recipe import Recipe, load_recipe
from striate.training.setup import Plan
from striate.training.transfer import Start, frozen_stages

AUTOMATIC = "auto"
FROM_NOTHING, FROM_WEIGHTS = "fast", "finetune"
SMALL_SHARE = 0.5  # of the side that the weights were trained on: below it, a word of warning


@dataclass(frozen=True)
class Adopted:
    """A net that starts from weights, and a sentence for each thing that was done."""

    net: Net
    start: Start
    notes: list[str]


def choose_recipe(recipe: str | Path | Recipe, settings: Mapping[str, object]) -> Recipe:
    """The recipe asked for; "auto" is `fast`, and with weights to start from `finetune`.

    Raises:
        RecipeError: There is none of that name, or it is not valid.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe != AUTOMATIC:
        return load_recipe(recipe)
    section = settings.get("transfer")
    named = section.get("weights") if isinstance(section, Mapping) else None
    return load_recipe(FROM_WEIGHTS if settings.get("transfer.weights", named) else FROM_NOTHING)


def with_image_choices(recipe: Recipe, pretrained: Pretrained | None) -> Recipe:
    """The recipe with the size and the interpolation of the weights, where it leaves them open."""
    if pretrained is None:
        return recipe
    settings = pretrained.settings
    chosen: dict[str, object] = {}
    if not recipe.data.photo_size:
        chosen["data.photo_size"] = max(settings.size)
    if recipe.data.interpolation is None:
        chosen["data.interpolation"] = settings.interpolation
    return recipe.with_settings(chosen)


def adopt_weights(pretrained: Pretrained, *, net: str | Net, data: Data, recipe: Recipe) -> Adopted:
    """The net for data and weights, and what is recorded and said of these.

    Args:
        pretrained: The weights.
        net: A net, its text, name or file; "auto" takes the one that the weights are of.
        data: The images.
        recipe: The recipe.

    Raises:
        ModelError: The weights do not fit the net.
        NetError: The net does not fit the images.
        RecipeError: The recipe asks for several starts.
        UsageError: No net is named and none is known that the weights are of, or more stages are to
            be frozen than there are.
    """
    if recipe.stop.restarts > 1:
        raise RecipeError(
            "stop.restarts chooses among random starts, and transfer.weights are one start",
            hint="leave one of them out",
        )
    name, wanted = _choose_net(pretrained, net)
    fitted, chosen = _fit(pretrained, wanted, data)
    channels = cast(Literal[1, 3], data.images.shape[3])
    mean, std = pretrained.settings.for_channels(channels)
    start = Start(
        source=pretrained.source,
        path=str(pretrained.path),
        commit=pretrained.commit,
        sha256=pretrained.sha256,
        mean=mean,
        std=std,
        head="new" if fitted.head_rows is None else "kept",
    )
    notes = [name, *_describe(fitted, start, data), *_describe_stages(chosen, recipe)]
    return Adopted(chosen, start, notes)


def read_weights(plan: Plan, data: Data) -> dict[str, Tensor] | None:
    """The weights that a plan starts from, under the keys of its net's `state_dict`.

    Raises:
        ModelError: The file is gone, or has changed since the plan was made.
        ResourceError: There is too little memory.
    """
    if plan.start is None:
        return None
    pretrained = open_pretrained(plan.start.path)
    if pretrained.sha256 != plan.start.sha256:
        hint = "restore them, or train anew"
        raise ModelError("the weights have changed since", path=plan.start.path, hint=hint)
    return pretrained.fit(plan.net, data.classes).read()


def _choose_net(pretrained: Pretrained, net: str | Net) -> tuple[str, Net]:
    if net != AUTOMATIC:
        return f"net {str(net)[:60]!r}, as asked for", load_net(net)
    likely = pretrained.likely_net()
    if likely is None:
        raise UsageError(
            "the weights are of no net of the zoo",
            path=pretrained.source,
            hint="name theirs, as in --net resnet50, or write it",
        )
    return f"net {likely[0][:60]!r}: the weights are of it", likely[1]


def _fit(pretrained: Pretrained, net: Net, data: Data) -> tuple[Fitted, Net]:
    """The net with the stem that it has, or with that for small images, as the weights were."""
    height, width, channels = data.images.shape[1:]
    own = net.with_input((height, width, channels)).with_classes(len(data.classes))
    try:
        return pretrained.fit(own, data.classes), own
    except (ModelError, NetError) as error:
        small = net.adapted_to((height, width, channels)).with_classes(len(data.classes))
        try:
            return pretrained.fit(small, data.classes), small
        except (ModelError, NetError):
            pass
        if isinstance(error, NetError):
            side = max(pretrained.settings.size)
            error.hint = f"use larger images, as with --size {side}"
        raise error from None


def _describe(fitted: Fitted, start: Start, data: Data) -> list[str]:
    settings = fitted.pretrained.settings
    commit = "" if start.commit is None else f", commit {start.commit[:12]}"
    pixels = zip(start.mean, start.std, strict=True)
    normalised = " ".join(f"{mean:g}/{std:g}" for mean, std in pixels)
    origin = f"{start.source} (SHA-256 {start.sha256[:12]}{commit})"
    layers = len(fitted.used)
    notes = [
        f"{layers} layer{'s start' if layers > 1 else ' starts'} from {origin}",
        _describe_head(fitted, data),
        f"pixels are normalised by mean/deviation {normalised} ({settings.origin})",
        *(_describe_conversion(layer.name, word) for layer, word in fitted.converted()),
    ]
    side, known = min(data.images.shape[1:3]), max(settings.size)
    if side < SMALL_SHARE * known:
        notes.append(
            f"the images have {side} pixels a side and the weights were trained on {known}: "
            f"--size {known} sees more, and takes longer"
        )
    return notes


def _describe_head(fitted: Fitted, data: Data) -> str:
    classes, old = len(data.classes), fitted.old_classes
    if fitted.head_rows is not None:
        return f"the head is kept: the weights are for the same {classes} classes"
    if not old:
        return "the head is new: the weights have none"
    if old != classes:
        return f"the head is new: the weights have {old:,} classes, the data {classes:,}"
    if fitted.pretrained.settings.classes:
        return "the head is new: the weights have classes of other names"
    return f"the head is new: nothing says what the {old:,} classes of the weights are"


def _describe_conversion(name: str, word: str) -> str:
    if word == "grey":
        return f"{name}: its weights for red, green and blue are summed, for grey images"
    return (
        f"{name}: its weights are for a map of another size, and are summed as if the map were "
        "averaged to that"
    )


def _describe_stages(net: Net, recipe: Recipe) -> list[str]:
    transfer = recipe.transfer
    frozen = len(frozen_stages(net, transfer.freeze))
    listed = "; ".join(
        f"{number} {stage}{' frozen' if number <= frozen else ''}"
        for number, stage in enumerate(cut_stages(net.trace()), 1)
    )
    return [
        f"stages, for --freeze: {listed}",
        f"what is not frozen learns at {transfer.rate:g} of the rate, the head at all of it",
    ]
