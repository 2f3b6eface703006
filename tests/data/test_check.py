import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import Check, Problem, check_data, load_data
from striate.data.problem import KINDS, by_weight
from striate.errors import DataError


def kinds(check: Check) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for problem in check.problems:
        found.setdefault(problem.kind, []).append(problem.paths)
    return found


def test_a_sound_folder_has_no_problems(make_folder: Callable) -> None:
    check = check_data(make_folder({"a": 4, "b": 4}))
    assert check.problems == ()
    assert check.classes == {"a": 4, "b": 4}
    assert check.splits == {"unassigned": 8}
    assert check.size == (32, 32, 3)


def test_a_folder_that_cannot_be_trained_on_is_listed_all_the_same(make_folder: Callable) -> None:
    root = make_folder({"a": 4, "b": 4})
    for number in range(3):
        (root / "a" / f"{number:03}.png").write_text("text")
    with pytest.raises(DataError, match="3 of 8 images"):
        load_data(root)
    assert len(kinds(check_data(root))["unreadable"]) == 3


def test_exact_duplicates_leaks_and_conflicts(make_folder: Callable, tmp_path: Path) -> None:
    root = tmp_path / "s"
    make_folder({"a": 4, "b": 4}, root=root / "train")
    make_folder({"a": 3, "b": 3}, root=root / "test", seed=500)
    shutil.copy(root / "train/a/000.png", root / "test/a/copy.png")
    shutil.copy(root / "train/b/001.png", root / "train/a/copy.png")
    found = kinds(check_data(root))
    assert found["leak"] == [("test/a/copy.png", "train/a/000.png")]
    assert found["conflicting-labels"] == [("train/a/copy.png", "train/b/001.png")]
    assert len(found["duplicate"]) == 2
    # A split of the source is not touched; what it splits itself keeps equal images together.
    data = load_data(root).split(seed=2)
    first, second = (data.names.index(f"train/{name}") for name in ("a/copy.png", "b/001.png"))
    assert data.splits[first] == data.splits[second]


def test_near_duplicates_name_their_sides(make_folder: Callable, tmp_path: Path) -> None:
    root = make_folder({"a": 4, "b": 4}, root=tmp_path / "s" / "train", size=(64, 64)).parent
    make_folder({"a": 3, "b": 3}, root=root / "test", size=(64, 64), seed=900)
    image = Image.open(root / "train/a/000.png")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    (root / "test/a/near.jpg").write_bytes(file.getvalue())
    (problem,) = [p for p in check_data(root).problems if p.kind == "near-duplicate"]
    assert problem.paths == ("test/a/near.jpg", "train/a/000.png")
    assert problem.message.endswith("one in train, one in test")


def test_classes_that_are_uneven_or_tiny(make_folder: Callable) -> None:
    found = kinds(check_data(make_folder({"a": 30, "b": 1, "c": 12})))
    assert found["single-image-class"] == [("b/000.png",)]
    assert found["imbalance"] == [()]


def test_arrays_and_data_are_checked_too(make_folder: Callable) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), np.uint8)
    images[5] = images[0]
    labels = [0, 1, 0, 1, 0, 1]
    assert set(kinds(check_data((images, labels)))) == {"duplicate", "conflicting-labels"}
    data = load_data(make_folder({"a": 4, "b": 4}))
    assert check_data(data).problems == ()


def test_small_grey_images_are_not_searched_and_that_is_said() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    assert list(kinds(check_data((images, [0, 1] * 3)))) == ["not-searched"]


def test_kinds_are_sorted_by_weight() -> None:
    shuffled = [Problem(kind, (), "") for kind in sorted(KINDS)]
    assert [problem.kind for problem in by_weight(shuffled)] == list(KINDS)


def test_every_kind_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
