"""Evaluate a saved model, on the test images of its run or on other data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import TEST, Data
from striate.data.load import load_requested, make_request
from striate.errors import DataError, ModelError, StriateWarning, UsageError
from striate.evaluation import Evaluation, check_views, evaluate_logits, view_logits
from striate.jobs.predict import open_model
from striate.jobs.reload import load_again
from striate.jobs.splits import read_splits
from striate.model import MODEL_NAME, Model
from striate.training.folder import read_run

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Selection:
    """Images of a data set, and their labels as the model counts its classes."""

    data: Data
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]


def evaluate(
    target: Model | str | Path,
    data: Any = None,
    *,
    views: int = 1,
    unsure: float = 1.0,
    device: str = "auto",
    follow_links: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on images whose classes are known.

    Without `data`, the run's own source is read again and its test images, as `split.csv` names
    them, are used, after making sure that no image, name or label has changed since. With `data`,
    its test images are used, or all of its images if it names none.

    Args:
        target: A run folder, a model file, or a model.
        data: What `load_data` takes, or None.
        views: 1, 2, 6 or 10 views of each image; see `view_logits`.
        unsure: The share of images, those the net is least sure of, that is seen in all views.
        device: "auto", "cpu", "cuda", "mps".
        follow_links: Also take files of `data` outside its folder that links lead to.
        progress: Called with the counts of images read and of all images.

    Raises:
        UsageError: no data is named anywhere, or the views, their share or the device are none
            that there are.
        DataError: the data is unreadable, has changed, or has classes that the model does not know.
        ModelError: the model or the run folder is damaged.
    """
    check_views(views, unsure)
    model = open_model(target, device=device)
    selection = (
        _run_selection(model, target, progress)
        if data is None
        else _data_selection(model, data, follow_links, progress)
    )
    if views > 1 and selection.data.mirror is False:
        warnings.warn(
            f"a mirrored image of {selection.data.name} changes its class, and {views} views "
            "include mirrored ones",
            StriateWarning,
            stacklevel=2,
        )
    logits = view_logits(
        model, selection.data.images, views=views, unsure=unsure, indices=selection.indices
    )
    return evaluate_logits(
        logits,
        selection.labels,
        model.classes,
        views=views,
        unsure=unsure,
        temperature=model.temperature,
    )


def _run_selection(
    model: Model, target: Model | str | Path, progress: Progress | None
) -> _Selection:
    """The test images of the run that the target belongs to."""
    run = _run_folder(target)
    document = read_run(run)
    try:
        source, manifest = document["data"]["source"], document["data"]["manifest_hash"]
    except (KeyError, TypeError) as cause:
        raise ModelError(f"its run.json has no usable {cause}", path=run) from None
    data = load_again(document, path=run, hint="name the data to evaluate on", progress=progress)
    if data.manifest_hash != manifest:
        raise DataError(
            "the images, names or labels have changed since the run",
            path=source,
            hint=f"restore them, or evaluate on all of them: striate evaluate {run} {source}",
        )
    indices = np.flatnonzero(read_splits(run / "split.csv", data) == TEST)
    if not len(indices):
        raise DataError(
            "the run kept no test images", path=run, hint="name the data to evaluate on"
        )
    return _Selection(data, indices, data.labels[indices])


def _run_folder(target: Model | str | Path) -> Path:
    if not isinstance(target, Model):
        for folder in (Path(target), Path(target).parent):
            if (folder / "run.json").is_file() and (folder / MODEL_NAME).exists():
                return folder
    raise UsageError(
        "the model is in no run folder, so there is no data to evaluate on",
        path=None if isinstance(target, Model) else target,
        hint="name the data: striate evaluate MODEL DATA",
    )


def _data_selection(
    model: Model, source: Any, follow_links: bool, progress: Progress | None
) -> _Selection:
    """The test images of other data, or all where it names none."""
    data = source
    if not isinstance(data, Data):
        data = _load_for(model, source, follow_links, progress)
    if model.input[2] == 3 and data.images.shape[3] == 1:
        # Grey images become colour ones as `decode_image` would make them, without a copy.
        data = replace(data, images=np.broadcast_to(data.images, (*data.images.shape[:3], 3)))
    if data.images.shape[1:] != model.input:
        found, expected = (
            "x".join(map(str, shape)) for shape in (data.images.shape[1:], model.input)
        )
        raise DataError(
            f"images of {found} (height, width, channels), and the model takes {expected}",
            path=data.root or data.name,
        )
    indices = data.indices(TEST)
    if not len(indices):
        indices = np.arange(len(data), dtype=np.int64)
    return _Selection(data, indices, _match_classes(model, data)[data.labels[indices]])


def _load_for(model: Model, source: Any, follow_links: bool, progress: Progress | None) -> Data:
    preprocessing = model.preprocessing
    height, width = preprocessing.size
    side = height if height == width else 0
    request = replace(
        make_request(side, preprocessing.resize, preprocessing.background),
        interpolation=preprocessing.interpolation,
    )
    return load_requested(source, request, follow_links=follow_links, progress=progress)


def _match_classes(model: Model, data: Data) -> NDArray[np.int64]:
    """The model's label of each of the data's classes, by name."""
    places = {name: place for place, name in enumerate(model.classes)}
    unknown = [name for name in data.classes if name not in places]
    if unknown:
        raise DataError(
            f"the model does not know the class{'es' * (len(unknown) > 1)} {_listed(unknown)}",
            path=data.root or data.name,
            hint=f"it knows {_listed(list(model.classes))}",
        )
    return np.array([places[name] for name in data.classes], dtype=np.int64)


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
