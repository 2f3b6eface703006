"""Recipes: the named ones load, settings change one field, and nothing wrong passes."""

import pytest

from striate.errors import RecipeError
from striate.training.recipe import Recipe, load_recipe, recipe_from_json, recipe_names


@pytest.mark.parametrize("name", ["fast", "finetune", "lecture", "thorough"])
def test_named_recipe_survives_json(name):
    recipe = load_recipe(name)
    assert recipe_from_json(recipe.model_dump(mode="json")) == recipe


def test_the_names_are_the_files():
    assert recipe_names() == ["fast", "finetune", "lecture", "thorough"]


def test_the_defaults_are_the_fast_recipe():
    assert Recipe() == load_recipe("fast")


def test_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().epochs = 3


def test_settings_reach_nested_fields_and_leave_the_rest():
    changes = {"schedule.milestones": "[0.3]", "schedule.name": "step"}
    recipe = Recipe().with_settings({"optimizer.lr": "0.5", **changes})
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
        ("augment.crop", "2", "augment.crop should be 'auto' or less than or equal to 1, not 2"),
        ("augment.translate", "-1", "should be 'auto' or greater than or equal to 0, not -1"),
        ("optimizer", {"name": 3}, "optimizer.name should be 'sgd'.*not 3"),
        ("kernels", "auto", "kernels should be .on., .off. or .compiled., not .auto."),
        ("views", "3", "views should be .auto., 1, 2, 6 or 10, not 3"),
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
    with pytest.raises(
        RecipeError, match="no recipe and no file 'quick'.*fast, finetune, lecture, thorough"
    ):
        load_recipe("quick")


def test_json_that_is_no_recipe():
    with pytest.raises(RecipeError, match="a JSON object was expected"):
        recipe_from_json([1])


@pytest.mark.parametrize(
    ("name", "lr", "momentum", "decay"),
    [
        ("sgd", 0.1, 0.0, 0.0),
        ("momentum", 0.05, 0.9, 0.0),
        ("nesterov", 0.05, 0.9, 0.0),
        ("rmsprop", 1e-3, 0.0, 0.0),
        ("adam", 1e-3, 0.9, 0.0),
        ("adamw", 1e-3, 0.9, 0.01),
        ("muon", 0.24, 0.6, 2e-6),
    ],
)
def test_each_optimiser_has_defaults_of_its_own(name, lr, momentum, decay, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'optimizer = {{ name = "{name}" }}\n')
    start = load_recipe("lecture").with_settings({"optimizer": {"name": "rmsprop", "lr": 0.7}})
    for recipe in (
        load_recipe(path),
        start.with_settings({"optimizer.name": name}) if name != "rmsprop" else load_recipe(path),
        Recipe().with_settings({"optimizer": {"name": name}}),
    ):
        chosen = recipe.optimizer
        assert (chosen.name, chosen.lr) == (name, lr)
        assert (chosen.momentum, chosen.weight_decay) == (momentum, decay)


def test_the_same_name_changes_nothing_and_fields_may_come_before_the_name():
    recipe = Recipe().with_settings({"optimizer.lr": 0.3})
    assert recipe.with_settings({"optimizer.name": "muon"}) == recipe
    changed = recipe.with_settings({"optimizer.lr": 0.01, "optimizer.name": "adam"})
    assert (changed.optimizer.lr, changed.optimizer.momentum) == (0.01, 0.9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"average.decay": "0.9"}, "average.decay = 0.9 has no effect with average.name 'none'"),
        ({"average": {"every": 3}}, "average.every = 3 has no effect.*choose ema or lookahead"),
        ({"optimizer.name": "sgd", "optimizer.momentum": 0.9}, "with optimizer.name 'sgd'.*adam"),
        ({"optimizer.name": "adam", "optimizer.head_lr": 0.9}, "leave it out, or choose muon"),
        ({"schedule.power": 0.7}, "schedule.power = 0.7 has no effect.*choose inverse"),
    ],
)
def test_a_setting_without_effect_is_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        Recipe().with_settings(settings)


def test_a_setting_without_effect_is_refused_in_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[average]\ndecay = 0.9\n")
    with pytest.raises(RecipeError, match=r"mine.toml: average.decay = 0.9 has no effect"):
        load_recipe(path)
