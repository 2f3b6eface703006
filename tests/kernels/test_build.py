"""Without a compiler the package installs, and PyTorch does the work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import striate

SOURCES = Path(striate.__file__).parents[1]
PROJECT = SOURCES.parent
GATHER = """
import numpy as np
import striate
from striate.data.augment import Augmentation
from striate.data.batches import Batches
from striate.kernels import load_library, processor
images = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
batches = Batches(
    images, np.zeros(5, np.int64), np.arange(5), batch_size=5, seed=0, mean=(0.5,) * 3,
    std=(0.2,) * 3, augment=Augmentation(flip="random", translate=1),
)
print(striate.__file__, processor(), load_library(), next(batches.epoch(0)).images.shape[0])
"""


@pytest.fixture
def copy(tmp_path):
    if not (PROJECT / "setup.py").is_file():
        pytest.skip("this is an installed package, without its setup.py")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(SOURCES / "striate", tmp_path / "src/striate", ignore=ignored)
    return tmp_path


def run(*arguments, folder, **settings):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )


def test_a_build_without_a_compiler_makes_no_library_and_no_failure(copy):
    missing = str(copy / "no-compiler")
    built = run("setup.py", "build_ext", "--inplace", folder=copy, CC=missing, CXX=missing)
    assert built.returncode == 0, built.stderr
    assert "no-compiler" in built.stderr
    assert not list(copy.rglob("*_native*.so"))
    used = run("-c", GATHER, folder=copy, PYTHONPATH=str(copy / "src"))
    assert used.returncode == 0, used.stderr
    file, *rest = used.stdout.split()
    assert Path(file).is_relative_to(copy)
    assert rest == ["pytorch", "None", "5"]
