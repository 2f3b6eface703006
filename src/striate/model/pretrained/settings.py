"""How the images were prepared that weights were trained on, and what their classes are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from striate.data.preprocessing import LARGEST_SIDE, Interpolation
from striate.errors import ModelError
from striate.model.document import parse_document, read_document
from striate.model.file import ModelDocument

CONFIG_NAME = "config.json"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_SIDE = 224
LARGEST_CONFIG = 2**20  # bytes
_NESTED = "pretrained_cfg"  # timm's; older files have its fields at the top
_FIELDS = ("mean", "std", "input_size", "interpolation", "label_names")

_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class InputSettings(BaseModel):
    """How an image became the input of the net while the weights were trained.

    Attributes:
        mean: Of each channel, on the scale of 0 to 1.
        std: The deviation, likewise.
        size: (H, W) in pixels.
        interpolation: How images were scaled.
        classes: The names of the head's outputs in order, or none.
        origin: What says so, for the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)]
    size: tuple[_Side, _Side]
    interpolation: Interpolation = "bilinear"
    classes: tuple[str, ...] = ()
    origin: str

    @model_validator(mode="after")
    def _check_channels(self) -> InputSettings:
        if len(self.mean) != len(self.std) or len(self.mean) == 2:
            raise ValueError("mean and std need one number for each of 1 or 3 channels")
        return self

    def for_channels(self, channels: Literal[1, 3]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for grey or colour images; the mean of both over the channels.

        Examples:
            >>> imagenet_settings("x").for_channels(1)[0]
            (0.449,)
        """
        if channels == len(self.mean):
            return self.mean, self.std
        means = (round(sum(values) / len(values), 6) for values in (self.mean, self.std))
        mean, std = ((value,) * channels for value in means)
        return mean, std


def imagenet_settings(origin: str) -> InputSettings:
    """The usual ones of nets that were trained on ImageNet: torchvision's, and most of timm's."""
    side = (IMAGENET_SIDE, IMAGENET_SIDE)
    return InputSettings(mean=IMAGENET_MEAN, std=IMAGENET_STD, size=side, origin=origin)


def find_settings(
    path: Path, metadata: Mapping[str, str], *, minus_one_to_one: bool
) -> InputSettings:
    """The settings of a file that Striate did not write.

    They are looked for in timm's config.json beside the file, then in the metadata of the file
    under the same names, each a JSON value. Where neither says anything they are ImageNet's.

    Args:
        path: The file.
        metadata: The free-form text in its header.
        minus_one_to_one: Whether the net, where nothing is said, takes pixels from -1 to 1.

    Raises:
        ModelError: A config cannot be read, or is out of range.
    """
    config = path.parent / CONFIG_NAME
    if config.is_file():
        document = read_document(config, max_bytes=LARGEST_CONFIG)
        nested = document.get(_NESTED)
        found = _settings(nested if isinstance(nested, dict) else document, config, CONFIG_NAME)
        if found is not None:
            return found
    stated = {name: _json_value(metadata[name], path) for name in _FIELDS if name in metadata}
    found = _settings(stated, path, "the file's metadata")
    if found is not None:
        return found
    usual = imagenet_settings("nothing says otherwise: as usual for ImageNet")
    if minus_one_to_one:
        half = (0.5,) * 3
        origin = "nothing says otherwise: pixels from -1 to 1, as torchvision feeds its GoogLeNet"
        return usual.model_copy(update={"mean": half, "std": half, "origin": origin})
    return usual


def own_settings(document: ModelDocument) -> InputSettings:
    """The settings of a model file that Striate wrote."""
    own = document.preprocessing
    return InputSettings(
        mean=own.mean,
        std=own.std,
        size=own.size,
        interpolation=own.interpolation,
        classes=document.classes,
        origin="the model file",
    )


def _settings(document: Mapping[str, Any], path: Path, origin: str) -> InputSettings | None:
    """The settings in timm's words; None where there are no mean and deviation."""
    if "mean" not in document or "std" not in document:
        return None
    size = document.get("input_size") or (3, IMAGENET_SIDE, IMAGENET_SIDE)
    try:
        return InputSettings(
            mean=document["mean"],
            std=document["std"],
            size=size[1:] if isinstance(size, list | tuple) else size,
            interpolation="bicubic" if document.get("interpolation") == "bicubic" else "bilinear",
            classes=document.get("label_names") or (),
            origin=origin,
        )
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"])) or "mean, std"
        raise ModelError(f"{where}: {first['msg']}", path=path) from None


def _json_value(text: str, path: Path) -> object:
    return parse_document(f'{{"value": {text}}}', path=path)["value"]
