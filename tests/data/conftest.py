"""Really made data for the tests of this room; the cache lies in the test's own folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write a folder of class folders with images of noise, and return it."""

    def make(
        counts: dict[str, int],
        *,
        root: Path | None = None,
        size: tuple[int, int] = (32, 32),
        suffix: str = ".png",
        seed: int = 0,
    ) -> Path:
        root = root or tmp_path / "photos"
        for place, (name, count) in enumerate(sorted(counts.items())):
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = noise((*size, 3), seed + 1000 * place + number)
                Image.fromarray(pixels).save(root / name / f"{number:03}{suffix}")
        return root

    return make
