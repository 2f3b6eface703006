"""What "auto" becomes, and that every choice is said."""

import pytest

from striate.training.recipe import Recipe
from striate.training.resolve import Facts, automatic_batch_size, automatic_epochs, resolve_recipe


@pytest.mark.parametrize(
    ("facts", "flip", "said"),
    [
        (Facts(50_000, 32, colour=True, mirror=True), "alternating", "keeps its class"),
        (Facts(50_000, 32, colour=False, mirror=False), "none", "another one"),
        (Facts(50_000, 32, colour=True, mirror=None), "alternating", "augment.flip=none"),
        (Facts(50_000, 32, colour=False, mirror=None), "none", "augment.flip=alternating"),
    ],
)
def test_mirroring_follows_what_the_images_are(facts, flip, said):
    recipe, notes = resolve_recipe(Recipe(), facts)
    assert recipe.augment.flip == flip
    assert any(said in note for note in notes)


def test_everything_automatic_is_resolved_and_said():
    recipe, notes = resolve_recipe(Recipe(), Facts(50_000, 32, colour=True, mirror=True))
    assert (recipe.epochs, recipe.batch_size) == (8, 1000)
    assert len(notes) == 3


def test_what_was_asked_for_stays():
    asked = Recipe().with_settings(
        {"epochs": 3, "batch_size": 7, "augment": {"flip": "random", "translate": 1, "crop": 1}}
    )
    assert resolve_recipe(asked, Facts(100, 32, colour=True, mirror=None)) == (asked, [])


@pytest.mark.parametrize("images", [1, 10, 400, 5_000, 50_000, 10**7])
def test_choices_stay_in_bounds(images):
    assert 32 <= automatic_batch_size(images) <= 1000
    assert 8 <= automatic_epochs(images) <= 100
    assert automatic_epochs(images, effort=3) >= 3 * automatic_epochs(images) - 2


@pytest.mark.parametrize(
    ("facts", "crop", "translate"),
    [
        (Facts(400, 64, colour=True, mirror=None), 0.35, 0),
        (Facts(400, 32, colour=True, mirror=None), 1.0, 2),
        (Facts(400, 64, colour=False, mirror=None), 1.0, 4),
    ],
)
def test_photos_are_cropped_and_small_images_shifted(facts, crop, translate):
    asked = Recipe().with_settings({"augment.crop": "auto"})
    augment = resolve_recipe(asked, facts)[0].augment
    assert (augment.crop, augment.translate) == (crop, translate)
