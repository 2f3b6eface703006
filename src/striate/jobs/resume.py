"""Goes on where a run stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data import Data
from striate.errors import CheckpointError
from striate.jobs.finish import finish
from striate.jobs.reload import load_again
from striate.jobs.run import Run
from striate.jobs.splits import read_splits
from striate.jobs.weights import read_weights
from striate.training.checkpoint import list_checkpoints, restore_latest
from striate.training.events import Events
from striate.training.folder import RunFolder, read_measurements, read_run
from striate.training.loop import fit
from striate.training.processes import is_follower, led_team, work_along
from striate.training.repeating import repeatable
from striate.training.setup import Plan, prepare

MOST_THREADS = 4096
KEPT = {"created": str, "versions": dict, "notes": list}  # of run.json, beside the plan


def resume(
    run: str | Path,
    *,
    data: Data | None = None,
    device: str = "auto",
    events: Events | None = None,
) -> Run:
    """Go on with a run that was interrupted, killed or finished, to the straight run's weights.

    Args:
        run: The run folder.
        data: The images, where the run was given arrays; else they are found again by themselves.
        device: "auto" takes the device that the run began on.
        events: Who is told what happens.

    Raises:
        CheckpointError: If no checkpoint is whole, or data, classes, net or recipe have changed.
        BusyError: If another process is at it.
    """
    if is_follower():
        return Run.from_json(work_along())
    events = events or Events()
    folder = RunFolder.open(Path(run))
    try:
        description = read_run(folder.path)
        plan = _plan(description, device, folder.path)
        images = _load(description, data, events, folder.path)
        with led_team(plan, images, folder.path) as team:
            with repeatable(plan.device, plan.threads):  # the whitening's sums depend on them too
                begun = _has_begun(folder)
                weights = None if begun else read_weights(plan, images)
                task, state = prepare(plan, images, team, weights=weights)
                if begun:
                    for note in restore_latest(folder.checkpoints, state, task.identity):
                        folder.log(note)
                        events.say(note)
                folder.keep_measurements(state.restart, state.epoch)
                folder.log(f"resumed at step {state.step}")
                with folder.marked():
                    fit(task, state, folder, events)
            finished = finish(plan, images, state, folder, events)
            if team is not None:
                team.dismiss(finished.to_json())
        return finished
    finally:
        folder.close()


def _has_begun(folder: RunFolder) -> bool:
    """Whether there is, or was, a checkpoint: a kill may come before the first."""
    return bool(list_checkpoints(folder.checkpoints) or read_measurements(folder.path))


def _plan(description: dict[str, Any], device: str, path: Path) -> Plan:
    try:
        plan = Plan.from_json(description, device=device)
        for name, kind in KEPT.items():
            if not isinstance(description[name], kind):
                raise TypeError(repr(name))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"its run.json has no usable {error}", path=path) from error
    if not 1 <= plan.threads <= MOST_THREADS:
        raise CheckpointError(f"its run.json asks for {plan.threads} threads", path=path)
    return plan


def _load(description: dict[str, Any], data: Data | None, events: Events, path: Path) -> Data:
    """The images of the run, split as they were."""
    try:
        record = description["data"]
        manifest, size = record["manifest_hash"], record["size"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"its run.json has no usable {error}", path=path) from error
    if data is None:
        hint = "use striate.resume(run, data=...)"
        data = load_again(description, path=path, hint=hint, progress=events.stored)
    if data.manifest_hash != manifest or list(data.images.shape[1:]) != size:
        raise CheckpointError(
            "belongs to another run: data (its images, names, labels or size have changed)",
            path=path,
            hint="restore them, or train anew",
        )
    return replace(data, splits=read_splits(path / "split.csv", data))
