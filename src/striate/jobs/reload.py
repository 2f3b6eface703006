"""The images of a run, read again as the run read them, and what its `run.json` says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data import Data
from striate.data.load import load_requested, make_request
from striate.data.resize import PHOTO_SIDE
from striate.errors import CheckpointError, UsageError
from striate.training.recipe import recipe_from_json
from striate.training.sections import DataChoices


def load_choices(
    source: Any, choices: DataChoices, progress: Callable[[int, int], None] | None
) -> Data:
    """Load data as a recipe says; see `load_data` for the arguments and the errors."""
    request = replace(
        make_request(choices.size, choices.resize, choices.background),
        interpolation=choices.interpolation or "bilinear",
        photo_side=choices.photo_size or PHOTO_SIDE,
    )
    return load_requested(source, request, follow_links=choices.follow_links, progress=progress)


def load_again(
    description: Mapping[str, Any],
    *,
    path: Path,
    hint: str,
    progress: Callable[[int, int], None] | None = None,
) -> Data:
    """The images of a run, as its source gives them now.

    Args:
        description: The run's `run.json`.
        path: The run folder, for messages.
        hint: What to do where the images were arrays.
        progress: Called with the counts of images read and of all images.

    Raises:
        CheckpointError: If `run.json` does not say where they are.
        UsageError: If the run was given arrays.
        DataError: If they cannot be read.
    """
    try:
        source = description["data"]["source"]
        choices = recipe_from_json(description["recipe"]).data
    except (KeyError, TypeError) as cause:
        raise CheckpointError(f"its run.json has no usable {cause}", path=path) from cause
    if source is None:
        raise UsageError("was trained on arrays, which are not kept", path=path, hint=hint)
    if not isinstance(source, str):
        raise CheckpointError("its run.json names no source of data", path=path)
    return load_choices(source, choices, progress)
