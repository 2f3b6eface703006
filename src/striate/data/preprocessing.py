"""How an image becomes the input of a net: the part that a saved model carries."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Resize = Literal["squash", "crop", "pad"]
RESIZES: tuple[str, ...] = get_args(Resize)
Interpolation = Literal["bilinear", "bicubic"]
WHITE = 255
LARGEST_SIDE = 4096  # pixels; more than any net here takes

_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
_Level = Annotated[int, Field(ge=0, le=255)]


class Preprocessing(BaseModel):
    """How an image becomes uint8 (H, W, C), and the mean and deviation that a net sees it by.

    Attributes:
        size: (H, W) in pixels.
        channels: 1 for grey, 3 for red, green, blue.
        resize: `squash` scales each side by itself; `crop` scales the shorter side and cuts the
            middle out; `pad` scales the longer side and fills the rest with the background.
        interpolation: How pixels are weighted while scaling; both widen their window to shrink.
        background: What is behind transparent pixels and beside padded ones; white unless said.
        mean: Of each channel over the training images, on the scale of 0 to 1; with pretrained
            weights, over those that these were trained on.
        std: The standard deviation, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[_Side, _Side]
    channels: Literal[1, 3]
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    background: tuple[_Level, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, fields: object) -> object:
        """White, mean 0.5 and deviation 0.25 where nothing is said."""
        if not isinstance(fields, dict):
            return fields
        channels = 1 if fields.get("channels") == 1 else 3
        defaults = {"background": WHITE, "mean": 0.5, "std": 0.25}
        filled = {name: (value,) * channels for name, value in defaults.items()}
        return filled | {name: value for name, value in fields.items() if value not in ((), [])}

    @model_validator(mode="after")
    def _check_channels(self) -> Preprocessing:
        for name in ("background", "mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"{name} needs one number for each of {self.channels} channels")
        return self
