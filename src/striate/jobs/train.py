"""The main job: from labelled images to a trained, evaluated, reported, saved model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from striate.data import TEST, TRAIN, VALIDATION, Data
from striate.errors import RecipeError, UsageError
from striate.jobs.finish import finish
from striate.jobs.plan import make_plan
from striate.jobs.reload import load_choices
from striate.jobs.remarks import describe_problems, describe_split
from striate.jobs.run import Run
from striate.jobs.weights import choose_recipe, read_weights, with_image_choices
from striate.model import write_atomically
from striate.model.pretrained import open_pretrained
from striate.nets import Net
from striate.training.checkpoint import state_bytes
from striate.training.events import Events
from striate.training.folder import RunFolder
from striate.training.loop import fit
from striate.training.machine import describe_machine, describe_versions
from striate.training.processes import (
    is_follower,
    led_team,
    processes_of_torchrun,
    work_along,
)
from striate.training.recipe import Recipe
from striate.training.repeating import repeatable
from striate.training.setup import Plan, prepare

FORMAT = 1
RUNS = Path("runs")
CHECKPOINTS_THAT_MUST_FIT = 3


def train(
    data: str | Path | Data | tuple[Any, Any],
    *,
    net: str | Net = "auto",
    recipe: str | Path | Recipe = "auto",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    events: Events | None = None,
    settings: Mapping[str, object] | None = None,
    **fields: object,
) -> Run:
    """Train a net on labelled images, evaluate it, write its report and save its model.

    Args:
        data: A folder, a CSV or TSV, an .npz, a name such as "cifar10", a `Data`, or a pair of
            arrays: images uint8 (N, H, W) or (N, H, W, C), and labels (N,).
        net: A text in the net notation, a name, a file, or "auto" to choose by the images.
        recipe: A recipe, its name, or its TOML file; "auto" is `fast`, or `finetune` where
            `transfer.weights` names weights to start from.
        seed: A run is a function of the data, the recipe and this.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        out: The run folder; `runs/<data>-<n>` if not given.
        events: Who is told what happens.
        settings: Dotted fields of the recipe to change, as {"optimizer.lr": 0.1}.
        fields: Fields of the recipe to change, as epochs=20; workers=2 trains with two processes;
            transfer={"weights": "resnet50.safetensors", "freeze": 2} starts from weights.

    Returns:
        The finished run: paths, figures, evaluations.

    Raises:
        StriateError: Each kind of `striate.errors`, with one line that says what to do.

    Examples:
        >>> import striate
        >>> run = striate.train("digits", epochs=8)                   # doctest: +SKIP
        >>> run.test["accuracy"]                                      # doctest: +SKIP
        0.9852
    """
    if is_follower():
        return Run.from_json(work_along())
    events = events or Events()
    chosen = choose_recipe(recipe, {**(settings or {}), **fields})
    together = processes_of_torchrun()
    started = {"workers": together} if together > 1 else {}
    twice = sorted({*(settings or {})} & {*fields})
    if twice:
        raise UsageError(f"{twice[0]} is given twice: by itself, and in the settings")
    chosen = chosen.with_settings({**started, **(settings or {}), **fields})
    source = chosen.transfer.weights
    pretrained = open_pretrained(source) if source else None
    chosen = with_image_choices(chosen, pretrained)
    loaded, chosen = _load(data, chosen, events)
    images = loaded.split(validation=chosen.data.validation, test=chosen.data.test, seed=seed)
    plan, notes = make_plan(
        images, net=net, recipe=chosen, seed=seed, device=device, pretrained=pretrained
    )
    notes += describe_split(loaded, images, given={**(settings or {}), **fields})
    folder = RunFolder.create(Path(out)) if out is not None else _next_folder(images.name)
    try:
        for note in (*describe_problems(images), *notes):
            folder.log(note)
            events.say(note)
        with led_team(plan, images, folder.path) as team:
            with repeatable(plan.device, plan.threads):  # the whitening's sums depend on them too
                task, state = prepare(plan, images, team, weights=read_weights(plan, images))
                folder.require_space(CHECKPOINTS_THAT_MUST_FIT * state_bytes(state))
                write_atomically(folder.path / "split.csv", images.manifest())
                description = describe_run(plan, images, notes=notes)
                folder.write_json("run.json", description)  # from here on, `resume` goes on
                with folder.marked():
                    fit(task, state, folder, events)
            run = finish(plan, images, state, folder, events)
            if team is not None:
                team.dismiss(run.to_json())
        return run
    finally:
        folder.close()


def describe_run(plan: Plan, data: Data, *, notes: list[str]) -> dict[str, Any]:
    """The document of `run.json`, before the run has a result."""
    counts = {
        name: len(data.indices(code))
        for name, code in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))
    }
    return {
        "format": FORMAT,
        "status": "running",
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": _command(),
        "data": {
            "source": None if data.origin is None else data.origin.source,
            "name": data.name,
            "manifest_hash": data.manifest_hash,
            "classes": list(data.classes),
            "counts": counts,
            "size": list(data.images.shape[1:]),
            "mirror": data.mirror,
            "problems": [problem.to_json() for problem in data.problems],
        },
        **plan.to_json(),
        "versions": describe_versions(),
        "machine": describe_machine(plan.device),
        "notes": notes,
        "result": None,
    }


def _load(
    data: str | Path | Data | tuple[Any, Any], recipe: Recipe, events: Events
) -> tuple[Data, Recipe]:
    """The images, and the recipe that says how they were read."""
    if isinstance(data, Data):
        if recipe.data.size not in (0, *data.images.shape[1:3]):
            raise RecipeError(
                f"data.size {recipe.data.size} was asked for, but the images are loaded already",
                hint="give the size to load_data",
            )
        if data.origin is None:
            return data, recipe.with_settings(_as_loaded(data))
        # what a later `resume`, `evaluate` or `report` asks the source for
        asked = {f"data.{n}": v for n, v in asdict(data.origin).items() if n != "source"}
        return data, recipe.with_settings({**asked, **_as_loaded(data)})
    return load_choices(data, recipe.data, events.stored), recipe


def _as_loaded(data: Data) -> dict[str, object]:
    """How the images were scaled, whatever the recipe would have done."""
    return {
        "data.resize": data.resize,
        "data.interpolation": data.interpolation,
        "data.photo_size": 0,
    }


def _command() -> list[str]:
    """What was typed: our command line, or the Python program that called."""
    if Path(sys.argv[0]).stem == "striate":
        return ["striate", *sys.argv[1:]]
    return list(sys.orig_argv)


def _next_folder(name: str) -> RunFolder:
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(name).name) or "run"
    return RunFolder.create_next(RUNS, stem)
