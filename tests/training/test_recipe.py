"""Recipes: the named ones load, settings change one field, and nothing wrong passes."""

import pytest

from striate.errors import RecipeError
from striate.training.recipe import Recipe, load_recipe, recipe_from_json, recipe_names


@pytest.mark.parametrize("name", ["fast", "lecture", "thorough"])
def test_named_recipe_survives_json(name):
    recipe = load_recipe(name)
    assert recipe_from_json(recipe.model_dump(mode="json")) == recipe


def test_the_names_are_the_files():
    assert recipe_names() == ["fast", "lecture", "thorough"]


def test_the_defaults_are_the_fast_recipe():
    assert Recipe() == load_recipe("fast")


def test_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().epochs = 3


def test_settings_reach_nested_fields_and_leave_the_rest():
    recipe = Recipe().with_settings({"optimizer.lr": "0.5", "schedule.milestones": "[0.3]"})
    assert recipe.optimizer.lr == 0.5
    assert recipe.schedule.milestones == (0.3,)
    assert recipe.optimizer.momentum == Recipe().optimizer.momentum


def test_a_section_takes_a_mapping():
    recipe = Recipe().with_settings({"augment": {"flip": "none"}})
    assert recipe.augment.flip == "none"
    assert recipe.augment.translate == Recipe().augment.translate


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer.learning_rate", "1", "unknown setting 'optimizer.learning_rate'.*optimizer.lr"),
        ("epoch", "1", "unknown setting 'epoch'.*did you mean epochs"),
        ("epochs.more", "1", "unknown setting 'epochs.more'"),
        ("augment", "1", "augment is a section.*flip"),
        ("augment", {"flips": "none"}, "unknown setting 'augment.flips'.*augment.flip"),
        ("optimizer.lr", "-1", "optimizer.lr should be greater than 0, not -1"),
        ("optimizer.lr", "nan", "optimizer.lr should be a finite number"),
        ("optimizer.name", "sgdd", "optimizer.name should be 'sgd'.*not 'sgdd'"),
        ("epochs", "0", "epochs should be 'auto' or greater than or equal to 1, not 0"),
        ("epochs", "many", "epochs should be 'auto' or a valid integer.*not 'many'"),
        ("views", "3", "views should be .auto., 1, 2 or 10, not 3"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(name, value, message):
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe().with_settings({name: value})
    assert "\n" not in str(caught.value)
    assert caught.value.status == 2


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 3\noptimizer = { name = "adam", lr = 0.001 }\n')
    recipe = load_recipe(path)
    assert (recipe.epochs, recipe.optimizer.name, recipe.optimizer.lr) == (3, "adam", 0.001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"epochs = ", "is not TOML"),
        (b"epochz = 3", "unknown setting 'epochz'"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x = " + b"[" * 100_000, "is not TOML"),
        (b"#" * 1_000_001, "is larger than"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_bytes(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_recipes():
    with pytest.raises(RecipeError, match="no recipe and no file 'quick'.*fast, lecture, thorough"):
        load_recipe("quick")


def test_json_that_is_no_recipe():
    with pytest.raises(RecipeError, match="a JSON object was expected"):
        recipe_from_json([1])
