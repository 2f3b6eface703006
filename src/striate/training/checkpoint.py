"""Checkpoints: the whole training state in one checksummed file, the last two of which are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.errors import CheckpointError, DivergedError
from striate.model import is_finite, load_tensors, save_tensors
from striate.training.state import Best, TrainingState

FORMAT = 1
KEPT = 2
COUNTERS = (
    "restart",
    "epoch",
    "batch",
    "epochs",
    "step",
    "images",
    "start_step",
    "progress",
    "seconds",
    "wall",
    "rate_scale",
    "retries",
    "stopped",
)


def save_checkpoint(folder: Path, state: TrainingState, identity: Mapping[str, object]) -> Path:
    """Write the state as `step-N.safetensors`, then delete all but the last two.

    Args:
        folder: The `checkpoints` folder of a run.
        state: What to save.
        identity: What the run is a function of; `restore_latest` compares it.

    Raises:
        DivergedError: If a weight, statistic or average is not finite; nothing is written then.
        ResourceError: If the disk is full; the earlier checkpoints are intact.
    """
    tensors, document = pack_state(state)
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise DivergedError(f"{name.replace('/', '.')} is no longer finite")
    path = folder / f"step-{state.step:09d}.safetensors"
    save_tensors(path, tensors, {"format": FORMAT, "identity": dict(identity), **document})
    for old in list_checkpoints(folder)[KEPT:]:
        old.unlink()
    return path


def pack_state(state: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All of a state: its tensors by name, not copied, and a document of what JSON can hold."""
    tensors, optimizers = _split({"optimizers": state.optimizers.state_dict()})
    tensors |= {f"module/{name}": tensor for name, tensor in state.module.state_dict().items()}
    average: dict[str, Any] = {}
    if state.average is not None:
        averaged, average = _split({"average": state.average.state_dict()})
        tensors |= averaged
    tensors |= {"sums/loss": state.sums.loss, "sums/correct": state.sums.correct}
    document = {
        "counters": {name: getattr(state, name) for name in COUNTERS},
        "patience": {"best": _finite_or_none(state.patience.best), "worse": state.patience.worse},
        "images": state.sums.images,
        "best": None,
        **optimizers,
        **average,
    }
    if state.best is not None:
        tensors |= {f"best/{name}": tensor for name, tensor in state.best.weights.items()}
        document["best"] = {
            "loss": state.best.loss,
            "epoch": state.best.epoch,
            "restart": state.best.restart,
        }
    return tensors, document


def unpack_state(
    state: TrainingState, tensors: Mapping[str, Tensor], document: Mapping[str, Any]
) -> None:
    """Put what `pack_state` gave into a state of the same net and recipe.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: If it does not fit.
    """
    state.module.load_state_dict(_under("module", tensors))
    state.optimizers.load_state_dict(_join("optimizers", tensors, document))
    if state.average is not None:
        state.average.load_state_dict(_join("average", tensors, document))
    for name in COUNTERS:
        setattr(state, name, document["counters"][name])
    patience = document["patience"]
    state.patience.best = math.inf if patience["best"] is None else patience["best"]
    state.patience.worse = patience["worse"]
    device = state.sums.loss.device
    state.sums.loss = tensors["sums/loss"].to(device)
    state.sums.correct = tensors["sums/correct"].to(device)
    state.sums.images = document["images"]
    best = document["best"]
    state.best = None if best is None else Best(_under("best", tensors), **best)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def restore_latest(folder: Path, state: TrainingState, identity: Mapping[str, object]) -> list[str]:
    """Put the newest whole checkpoint into `state`; returns a sentence for each damaged one.

    Raises:
        CheckpointError: If none is whole, or the run has other data, classes, net, recipe or seed.
    """
    damaged: list[str] = []
    for path in list_checkpoints(folder):
        try:
            tensors, document = load_tensors(path, error=CheckpointError, finite=False)
        except CheckpointError as error:
            damaged.append(f"{error}; the checkpoint before it is used")
            continue
        _compare(document, identity, path)
        try:
            unpack_state(state, tensors, document)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"does not fit this run: {error}", path=path) from error
        return damaged
    if damaged:
        raise CheckpointError("no checkpoint is whole", path=folder, hint=damaged[0])
    raise CheckpointError("holds no checkpoint", path=folder, hint="train anew")


def state_bytes(state: TrainingState) -> int:
    """The size of a checkpoint, with optimiser state and best weights, before there are any."""
    weights = [int(tensor.nbytes) for tensor in state.module.state_dict().values()]
    # the weights, the best and the averaged ones, and two moments of each
    return 5 * sum(weights) + 100_000


def _compare(document: Mapping[str, Any], identity: Mapping[str, object], path: Path) -> None:
    if document.get("format") != FORMAT:
        found = document.get("format")
        raise CheckpointError(f"has format {found!r}, this Striate reads {FORMAT}", path=path)
    saved = document.get("identity")
    if not isinstance(saved, dict):
        raise CheckpointError("does not say which run it belongs to", path=path)
    different = sorted(k for k in {*saved, *identity} if saved.get(k) != identity.get(k))
    if different:
        changes = ", ".join(
            f"{name} (was {_short(saved.get(name))}, is {_short(identity.get(name))})"
            for name in different
        )
        raise CheckpointError(
            f"belongs to another run: {changes}", path=path, hint="restore them, or train anew"
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _split(nested: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Part a nested state into tensors, named by their place, and a document that names them."""
    tensors: dict[str, Tensor] = {}

    def visit(value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            tensors[place] = value.detach()
            return {"tensor": place}
        if isinstance(value, Mapping):
            return {"keys": [[k, visit(v, f"{place}/{k}")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return [visit(v, f"{place}/{i}") for i, v in enumerate(value)]
        return value

    return tensors, {name: visit(value, name) for name, value in nested.items()}


def _join(name: str, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> Any:
    """The nested state that `_split` parted."""

    def visit(value: Any) -> Any:
        if isinstance(value, dict):
            if "tensor" in value:
                return tensors[value["tensor"]]
            return {k: visit(v) for k, v in value["keys"]}
        if isinstance(value, list):
            return [visit(v) for v in value]
        return value

    return visit(document[name])
