"""Turns the "auto" of a recipe into numbers, and says which and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from striate.training.recipe import Recipe

REFERENCE_IMAGES = 50_000  # the default rates were found on this many images ...
REFERENCE_EPOCHS = 8  # ... seen this often
LARGEST_RATIO = 64.0  # more epochs than it allows bring nothing on a few hundred photos
LARGEST_BATCH = 1000
SMALLEST_BATCH = 32
STEPS_AN_EPOCH = 20
SMALLEST_PHOTO = 48  # pixels
PHOTO_CROP = 0.35


@dataclass(frozen=True)
class Facts:
    """What the automatic choices look at.

    Args:
        train_images: The number of training images.
        side: The shorter side of the images, in pixels.
        colour: Whether the images have three channels.
        mirror: Whether a mirrored image keeps its class; None where nobody said.
    """

    train_images: int
    side: int
    colour: bool
    mirror: bool | None

    @property
    def photos(self) -> bool:
        """Whether the images are of the size and kind whose subject may be anywhere in them."""
        return self.colour and self.side >= SMALLEST_PHOTO


def resolve_recipe(recipe: Recipe, facts: Facts) -> tuple[Recipe, list[str]]:
    """The recipe with every "auto" but the precision replaced, and a sentence for each choice."""
    settings: dict[str, object] = {}
    notes: list[str] = []
    batch_size = recipe.batch_size
    if batch_size == "auto":
        batch_size = automatic_batch_size(facts.train_images)
        settings["batch_size"] = batch_size
        notes.append(f"batch size {batch_size}: chosen for {facts.train_images:,} training images")
    if recipe.epochs == "auto":
        epochs = automatic_epochs(facts.train_images, effort=recipe.effort)
        settings["epochs"] = epochs
        notes.append(f"{epochs} epochs: chosen for {facts.train_images:,} training images")
    if recipe.augment.crop == "auto":
        settings["augment.crop"] = PHOTO_CROP if facts.photos else 1.0
        if facts.photos:
            notes.append(f"random crops of {PHOTO_CROP:.0%} to all of the area, as for photos")
    if recipe.augment.translate == "auto":
        cropped = settings.get("augment.crop", recipe.augment.crop) != 1.0
        settings["augment.translate"] = 0 if cropped else automatic_translate(facts.side)
    if recipe.augment.flip == "auto":
        flip, why = automatic_flip(facts)
        settings["augment.flip"] = flip
        notes.append(why)
    if recipe.views == "auto":
        mirrors = settings.get("augment.flip", recipe.augment.flip) != "none"
        settings["views"] = 2 if mirrors else 1
    return recipe.with_settings(settings), notes


def automatic_batch_size(train_images: int) -> int:
    """A twentieth of the images, as a power of two from 32, and at most 1000.

    Examples:
        >>> [automatic_batch_size(n) for n in (100, 1_400, 10_000, 50_000)]
        [32, 64, 512, 1000]
    """
    power = 1 << round(math.log2(max(1.0, train_images / STEPS_AN_EPOCH)))
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, power))


def automatic_translate(side: int) -> int:
    """Two pixels at 32, in proportion elsewhere: a shift that hides no digit of 8x8.

    Examples:
        >>> [automatic_translate(side) for side in (8, 28, 32, 96)]
        [0, 2, 2, 6]
    """
    return round(side / 16)


def automatic_epochs(train_images: int, *, effort: float = 1.0) -> int:
    """Eight epochs at 50,000 images, more where there are fewer, by the square root of the ratio.

    Examples:
        >>> [automatic_epochs(n) for n in (400, 1_400, 50_000, 1_000_000)]
        [64, 48, 8, 8]
    """
    ratio = max(1.0, REFERENCE_IMAGES / max(1, train_images))
    return max(1, round(REFERENCE_EPOCHS * math.sqrt(min(ratio, LARGEST_RATIO)) * effort))


def automatic_flip(facts: Facts) -> tuple[str, str]:
    """How to mirror training images, and one sentence of why."""
    if facts.mirror is True:
        return (
            "alternating",
            "images are mirrored every second epoch: a mirrored one keeps its class",
        )
    if facts.mirror is False:
        return "none", "images are not mirrored: a mirrored digit or letter is another one"
    if facts.colour:
        return (
            "alternating",
            "images are mirrored every second epoch, as for photos; "
            "if left and right tell the classes apart, use --set augment.flip=none",
        )
    return (
        "none",
        "images are not mirrored: grey ones may be digits or letters; "
        "if left and right do not matter, use --set augment.flip=alternating",
    )
