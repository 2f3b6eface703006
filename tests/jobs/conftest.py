"""A finished run on tiny data, and a folder of pictures; nothing is written outside the test."""

import numpy as np
import pytest
from PIL import Image

from striate.jobs.train import train

NET = "conv3-4 relu maxpool2 dropout0.3 fc-3"
SETTINGS = {"epochs": 4, "batch_size": 16, "precision": "fp32"}


@pytest.fixture
def train_tiny(tiny_data, tmp_path):
    """Train a small net on the tiny data into a folder of the test."""

    def run(data=tiny_data, out="run", net=NET, recipe="fast", seed=0, events=None, **settings):
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        changed = {**SETTINGS, **dotted}
        path = tmp_path / out
        return train(
            data, net=net, recipe=recipe, seed=seed, out=path, events=events, settings=changed
        )

    return run


@pytest.fixture(scope="session")
def finished_run(tiny_data, tmp_path_factory):
    """A finished run that no test may change."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return train(tiny_data, net=NET, out=out, settings=SETTINGS)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path, cache):
    """A folder with sixteen pictures a class, of mixed sizes, told apart by their colour."""
    generator = np.random.default_rng(0)
    for place, name in enumerate(("ash", "beech", "oak")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(16):
            picture = generator.integers(0, 120, (*generator.integers(20, 40, 2), 3), np.uint8)
            picture[..., place] += 100
            Image.fromarray(picture).save(folder / f"{number}.png")
    return tmp_path / "photos"
