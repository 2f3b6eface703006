"""The sections of a recipe: what there is to choose, in which range, and what is chosen unasked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """Fields that do not change, of which none is unknown and no number is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# What an optimiser starts from where its name is given and the field is not; `Optimizer` has those
# of muon.
OWN_DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
    "momentum": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    "nesterov": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    "rmsprop": {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "beta2": 0.99},
    "adam": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0},
    "adamw": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.01},
}


class Optimizer(Section):
    """How the weights follow the gradient.

    `muon` moves convolution filters by orthogonalised momentum and everything else by Nesterov SGD
    with the `side_*` fields; the other optimisers use `lr` for all parameters. The defaults below
    are muon's; another name has its own, in `OWN_DEFAULTS`.
    """

    name: Literal["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "muon"] = "muon"
    lr: float = Field(0.24, gt=0, le=1000)
    momentum: float = Field(0.6, ge=0, lt=1)
    weight_decay: float = Field(2e-6, ge=0, le=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    side_lr: float = Field(0.053, gt=0, le=1000)
    side_momentum: float = Field(0.85, ge=0, lt=1)
    head_lr: float = Field(0.67, gt=0, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_names_own(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        name = fields.get("name")
        return {**(OWN_DEFAULTS.get(name, {}) if isinstance(name, str) else {}), **fields}


class Schedule(Section):
    """The learning rate's factor over the run; `warmup` and `floor` are fractions."""

    name: Literal["constant", "linear", "cosine", "one_cycle", "step", "inverse"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1)
    floor: float = Field(0.0, ge=0, le=1)
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = Field(0.1, gt=0, le=1)
    power: float = Field(0.5, gt=0, le=4)


class Loss(Section):
    """The loss, and how it treats uneven classes."""

    name: Literal["cross_entropy", "square", "hinge", "logistic"] = "cross_entropy"
    label_smoothing: float = Field(0.2, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"


class Regularize(Section):
    """Penalties and perturbations, all 0 for none."""

    l1: float = Field(0.0, ge=0)
    l2: float = Field(0.0, ge=0)
    jitter: float = Field(0.0, ge=0, le=10)
    activation_l1: float = Field(0.0, ge=0)
    clip_norm: float = Field(0.0, ge=0)
    mixup: float = Field(0.0, ge=0, le=10)
    cutmix: float = Field(0.0, ge=0, le=10)


class Augment(Section):
    """What is done to a training image each time it is seen.

    `flip = "auto"` mirrors where a mirrored image keeps its class: not for digits and letters.
    `translate` is in pixels, "auto" a sixteenth of the side; `crop` is the smallest share of the
    area that a random crop keeps, "auto" one for photos instead of the shift; `brightness`,
    `contrast` and `saturation` are the largest relative changes, `hue` a share of the turn;
    `cutout` is the side in pixels of a blanked square.
    """

    flip: Literal["auto", "none", "random", "alternating"] = "auto"
    translate: Literal["auto"] | Annotated[int, Field(ge=0, le=256)] = "auto"
    crop: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = "auto"
    rotate: float = Field(0.0, ge=0, le=180)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)
    cutout: int = Field(0, ge=0, le=512)


class Average(Section):
    """Averaged weights: none, an exponential average, or lookahead, which goes on from it."""

    name: Literal["none", "ema", "lookahead"] = "none"
    decay: float = Field(0.99, ge=0, lt=1)
    every: int = Field(5, ge=1)


class Stop(Section):
    """When to stop; `patience` is p of Algorithm 7.1 (Goodfellow et al.), 0 is never.

    `evaluate_every` is in epochs; `seconds` is a budget for the training (0 is none); `restarts` is
    the number of random starts, the best of which by validation loss is kept.
    """

    patience: int = Field(0, ge=0)
    evaluate_every: int = Field(1, ge=1)
    seconds: float = Field(0.0, ge=0)
    restarts: int = Field(1, ge=1, le=100)


class Initialize(Section):
    """How the weights start; `dirac` lets a convolution's first filters pass its input on."""

    name: Literal["torch", "he", "dirac"] = "dirac"
    whiten_images: int = Field(5000, ge=1)
    whiten_bias_epochs: float = Field(3.0, ge=0)


class DataChoices(Section):
    """How the images are read, sized and split; `size` 0 chooses by the images.

    Photos of many sizes are then brought to `photo_size`: 0 is 64, or with pretrained weights what
    these saw; `interpolation` likewise, bilinear without them.

    Transparent pixels are laid on `background`, 1 or 3 levels, white if not given; `follow_links`
    also takes files outside the folder that links lead to.
    """

    size: int = Field(0, ge=0, le=4096)
    photo_size: int = Field(0, ge=0, le=4096)
    resize: Literal["squash", "crop", "pad"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] | None = None
    background: tuple[Annotated[int, Field(ge=0, le=255)], ...] | None = None
    follow_links: bool = False
    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.15, ge=0, lt=1)


class Transfer(Section):
    """Weights to start from: a safetensors file, or hf:OWNER/NAME[@REVISION] on the hub.

    The first `freeze` stages stay as they are; `rate` multiplies the learning rate of all layers
    but the head.
    """

    weights: str = ""
    freeze: int = Field(0, ge=0, le=1000)
    rate: float = Field(0.1, gt=0, le=1)
