"""A training that starts from trained weights: where they come from, and which of them stay."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from striate.errors import UsageError
from striate.nets import Net, NetModule
from striate.nets.stages import Stage, cut_stages


class Start(BaseModel):
    """The weights that a run started from, as its `run.json` records them.

    With these the run goes on without the file: the checkpoints hold the weights, and mean and
    deviation are here.

    Attributes:
        source: What was asked for.
        path: The file.
        commit: Of the repository on the hub, if it comes from there.
        sha256: Of the file.
        mean: Of each channel, which the net sees the images by, on the scale of 0 to 1.
        std: The deviation, likewise.
        head: Whether the file's head was kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str
    path: str
    commit: str | None
    sha256: str
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    head: Literal["kept", "new"]


def start_from_json(document: object) -> Start | None:
    """The start in a `run.json`; None where the run started from nothing.

    Raises:
        ValueError: It is none.
    """
    if document is None:
        return None
    try:
        return Start.model_validate(document)
    except ValidationError as error:
        raise ValueError("'weights'") from error


def frozen_stages(net: Net, count: int) -> tuple[Stage, ...]:
    """The first `count` stages of a net that names its input.

    Raises:
        UsageError: There are fewer; the message lists them.
    """
    stages = cut_stages(net.trace())
    if count > len(stages):
        listed = "; ".join(f"{number} {stage}" for number, stage in enumerate(stages, 1))
        raise UsageError(
            f"{count} stages are to be frozen, and the net has {len(stages)} before its head",
            path="transfer.freeze",
            hint=listed,
        )
    return stages[:count]


def freeze(module: NetModule, count: int) -> tuple[nn.Module, ...]:
    """Keep the weights of the first stages as they are: no gradient is computed for them.

    Returns:
        The layers of these stages. Batch normalisation and dropout in them are to stay in test
        mode, see `TrainingState.begin_training`.

    Raises:
        UsageError: The net has fewer stages.
    """
    if not count:
        return ()
    names = [name for stage in frozen_stages(module.net, count) for name in stage.names]
    layers = tuple(module.layers.get_submodule(name) for name in names)
    for layer in layers:
        layer.requires_grad_(False)
    return layers
