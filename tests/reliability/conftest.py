"""Small real runs, and processes that can be killed: what the tests of faults share."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

STRIATE = str(Path(sys.executable).parent / "striate")
TINY_NET = "conv3-4 relu maxpool2 dropout0.3 fc-3"


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
