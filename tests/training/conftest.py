"""A training of a moment, put together but not begun."""

import pytest

from striate.data import load_data
from striate.jobs.plan import make_plan
from striate.training.folder import RunFolder
from striate.training.recipe import load_recipe
from striate.training.setup import prepare

NET = "conv3-4 relu maxpool2 fc-3"


@pytest.fixture(scope="session")
def split_data(tiny_data):
    return load_data(tiny_data).split()


@pytest.fixture
def prepared(split_data):
    """Give the task and the first state of a training on the tiny data."""

    def make(net=NET, seed=0, data=split_data, **settings):
        defaults = {"epochs": 4, "batch_size": 16, "precision": "fp32"}
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        recipe = load_recipe("fast").with_settings(defaults | dotted)
        plan, _ = make_plan(data, net=net, recipe=recipe, seed=seed, device="cpu")
        return prepare(plan, data)

    return make


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    yield folder
    folder.close()
