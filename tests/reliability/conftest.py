"""Small real runs, and processes that can be killed: what the tests of faults share."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reliability.made_models import small_model
from tests.reliability.made_photos import noise

STRIATE = str(Path(sys.executable).parent / "striate")
TINY_NET = "conv3-4 relu maxpool2 dropout0.3 fc-3"


@pytest.fixture
def photos(tmp_path):
    """Two classes of 30 sound images each."""
    root = tmp_path / "photos"
    for place, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            noise(100 * place + number).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture
def model():
    """A net of three classes for images of 8x8."""
    return small_model()


@pytest.fixture
def path(model, tmp_path):
    """A sound model file, for an attack to change."""
    path = tmp_path / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def processes():
    """A context whose processes start in milliseconds: their parent has PyTorch loaded already."""
    context = multiprocessing.get_context("forkserver")
    # PyTorch loads its compiler at the first step; a child should not spend its life on that
    context.set_forkserver_preload(
        ["striate.jobs.train", "striate.jobs.resume", "torch._dynamo", "scipy.optimize"]
    )
    return context


@pytest.fixture
def command():
    """Run the command line in a process of its own."""

    def run(*arguments, **options):
        return subprocess.run(
            [STRIATE, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run
