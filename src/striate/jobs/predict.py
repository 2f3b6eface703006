"""Predict images with a saved model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from striate.kernels.memory import keep_freed_memory
from striate.model import Item, Model, Prediction, Unreadable, load_model
from striate.training.machine import choose_device


def predict(
    model: Model | str | Path, items: Iterable[Item] | Item, *, device: str = "auto"
) -> list[Prediction | Unreadable]:
    """Predict images from files, folders (with all that is in them, sorted) or arrays.

    Args:
        model: A model, its file, or a run folder.
        items: Paths, and uint8 arrays (H, W, C); or one of them.
        device: "auto", "cpu", "cuda", "mps"; a model that is loaded already stays where it is.

    Returns:
        One entry an image, in order; an image that cannot be read does not stop the rest.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: an array is no image.
        UsageError: there is no such device.
    """
    return open_model(model, device=device).predict(items)


def iterate_predictions(
    model: Model | str | Path, items: Iterable[Item], *, device: str = "auto"
) -> Iterator[Prediction | Unreadable]:
    """As `predict`, but each prediction as it comes: one batch of images is held."""
    return open_model(model, device=device).iterate(items)


def open_model(model: Model | str | Path, *, device: str = "auto") -> Model:
    """A model as it is, or loaded from its file or run folder onto a device; memory is kept."""
    keep_freed_memory()
    return model if isinstance(model, Model) else load_model(model).to(choose_device(device))
