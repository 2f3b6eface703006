"""Several processes on one run, this one among them: they meet, are told what to do, and part."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from striate.data import Data
from striate.errors import ResourceError, UsageError
from striate.training.children import Children, arrival, meeting_store
from striate.training.handover import hand_over, take_over
from striate.training.loop import follow
from striate.training.repeating import repeatable
from striate.training.setup import Plan, prepare
from striate.training.team import Team

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

PATIENCE = 120.0  # seconds that the leader waits for an answer
FOR_EVER = timedelta(days=100)  # the others do not lose patience: they end when the leader does
SET_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE", "MASTER_ADDR")


def processes_of_torchrun() -> int:
    """How many processes torchrun started together with this one; 1 where it did not."""
    started = all(name in os.environ for name in SET_BY_TORCHRUN)
    return int(os.environ["WORLD_SIZE"]) if started else 1


def is_follower() -> bool:
    """Whether torchrun started this process and another one leads."""
    return processes_of_torchrun() > 1 and os.environ["RANK"] != "0"


def started_here(workers: int) -> int:
    """How many of a run's processes share what PyTorch takes for one process's threads."""
    return workers if processes_of_torchrun() == 1 else 1


def check_workers(workers: int, device: torch.device) -> None:
    """Refuse a number of processes that cannot be.

    Raises:
        UsageError: If they cannot share the device, or torchrun started another number.
    """
    together = processes_of_torchrun()
    if together not in (1, workers):
        raise UsageError(
            f"the run has {workers} and torchrun started {together}",
            path="workers",
            hint="let torchrun start as many, or go without it",
        )
    if workers > 1 and not distributed.is_available():
        raise UsageError("this build of PyTorch knows one process only", path="workers")
    if workers > 1 and distributed.is_initialized():
        raise UsageError("this process is in a group of torch.distributed already", path="workers")
    if workers == 1 or device.type == "cpu":
        return
    here = workers if together == 1 else int(os.environ["LOCAL_WORLD_SIZE"])
    gpus = torch.cuda.device_count() if device == torch.device("cuda") else 1
    if here > gpus:
        raise UsageError(
            f"{here} processes need a GPU each, and {str(device)!r} names {gpus}",
            path="workers",
            hint="use --device cuda and as many workers as GPUs, or --device cpu",
        )


@contextmanager
def led_team(plan: Plan, data: Data, run: Path) -> Iterator[Team | None]:
    """Within it, the other processes of the plan work along; None where there are none.

    They are told plan and data here, prepare the training as this process does, follow its `fit`,
    and then wait to be dismissed. Those that were started here never outlive the block.

    Args:
        plan: With the number of processes in `recipe.workers`.
        data: The images, already split.
        run: The run folder, for errors.

    Raises:
        ResourceError: Here or in the block, if a process dies, or is silent for two minutes.
        UsageError: As `check_workers`.
    """
    world = plan.recipe.workers
    check_workers(world, plan.device)
    if world == 1:
        yield None
        return
    children = Children(run)
    with tempfile.TemporaryDirectory(prefix="striate-") as scratch:
        try:
            if processes_of_torchrun() > 1:
                store = _store_of_torchrun(timedelta(seconds=PATIENCE))
                team = _join(store, 0, world, children)
            else:
                meeting = str(Path(scratch) / "meeting")
                with _loopback():
                    children.start(world, meeting)
                    team = _join(meeting_store(meeting, world), 0, world, children)
            hand_over(team, plan, data)
            yield team
        finally:
            children.end()
            _leave()


def work_along() -> dict[str, Any]:
    """Follow the leader, in a process that torchrun started.

    Returns:
        The result with which the leader dismissed its team.

    Raises:
        SystemExit: If the leader ended before that; it said why.
    """
    rank, world = int(os.environ["RANK"]), processes_of_torchrun()
    try:
        store = _store_of_torchrun(FOR_EVER)
        return _follow(store, rank, world, local=int(os.environ["LOCAL_RANK"]))
    except ResourceError as error:
        raise SystemExit(error.status) from error


def main() -> None:
    """The program of the processes that `Children` starts."""
    meeting, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    store = meeting_store(meeting, world)
    store.set(arrival(rank), "")
    try:
        _follow(store, rank, world, local=rank)
    except ResourceError as error:
        sys.exit(error.status)


def _end_with_parent() -> None:
    # The standard input is a pipe from the parent: it ends when the parent does, even by SIGKILL.
    os.read(0, 1)
    os._exit(ResourceError.status)


def _follow(store: Store, rank: int, world: int, *, local: int) -> dict[str, Any]:
    try:
        team = _join(store, rank, world, None)
        plan, data = take_over(team)
        if plan.device.type == "cuda":
            plan = replace(plan, device=torch.device("cuda", local))
            torch.cuda.set_device(local)
        with repeatable(plan.device, plan.threads):
            task, state = prepare(plan, data, team)
            follow(task, state)
        return team.broadcast({}, {})[0]
    finally:
        _leave()


def _store_of_torchrun(patience: timedelta) -> Store:
    meeting = distributed.rendezvous("env://", timeout=patience)  # type: ignore[attr-defined]
    store: Store = next(meeting)[0]
    return store


def _join(store: Store, rank: int, world: int, children: Children | None) -> Team:
    """Meet the other processes; the leader has children, if only in name, the others have none."""
    both = torch.cuda.is_available() and distributed.is_nccl_available()
    patience = FOR_EVER if children is None else timedelta(seconds=PATIENCE)
    silence = _leader_is_gone if children is None else children.error
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if both else "gloo",
            store=store,
            rank=rank,
            world_size=world,
            timeout=patience,
        )
    except RuntimeError as error:
        raise silence() from error
    return Team(rank, world, silence)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _leader_is_gone() -> ResourceError:
    return ResourceError("the leading process ended, or does not answer")


@contextmanager
def _loopback() -> Iterator[None]:
    """Within it, what listens is out of reach for other machines."""
    name = "GLOO_SOCKET_IFNAME"
    interfaces = [label for _, label in socket.if_nameindex() if label.startswith("lo")]
    if name in os.environ or not interfaces:
        yield
        return
    os.environ[name] = interfaces[0]
    try:
        yield
    finally:
        del os.environ[name]
