import os
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import load_data
from striate.data.sources.folder import read_folder
from striate.errors import DataError


def kinds(root: Path, **options: object) -> dict[str, tuple[str, ...]]:
    return {problem.kind: problem.paths for problem in read_folder(root, **options).problems}


def test_files_are_listed_by_name_whatever_the_system_says(make_folder: Callable) -> None:
    source = read_folder(make_folder({"b": 3, "a": 2}))
    names = [file.name for file in source.files]
    assert names == ["a/000.png", "a/001.png", "b/000.png", "b/001.png", "b/002.png"]
    assert source.classes == ("a", "b")
    assert source.name == "photos"


def test_what_is_no_image_is_ignored_and_said(make_folder: Callable) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root / "LICENSE.txt").write_text("free")
    (root / "a" / "notes.doc").write_text("x")
    (root / "a" / "nothing").mkdir()
    assert kinds(root)["ignored"] == ("LICENSE.txt", "a/notes.doc", "a/nothing")


def test_a_file_without_a_suffix_may_be_an_image(make_folder: Callable) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root / "a" / "000.png").rename(root / "a" / "picture")
    assert len(load_data(root)) == 4


def test_a_class_may_be_called_train(make_folder: Callable) -> None:
    source = read_folder(make_folder({"train": 2, "test": 2}))
    assert source.classes == ("test", "train")


def test_split_folders_may_have_empty_and_unlabelled_parts(make_folder: Callable) -> None:
    root = make_folder({"a": 2, "b": 2}, root=make_folder({"x": 1}).parent / "s" / "train")
    make_folder({"": 3}, root=root.parent / "test")
    source = read_folder(root.parent)
    assert source.classes == ("a", "b")
    assert [p.kind for p in source.problems] == ["unlabelled", "ignored"]


def test_a_class_without_training_images_is_a_slip(make_folder: Callable, tmp_path: Path) -> None:
    make_folder({"cat": 2, "dog": 2}, root=tmp_path / "s" / "train")
    make_folder({"Cat": 2}, root=tmp_path / "s" / "test")
    with pytest.raises(DataError, match="no training images of the class Cat.*are cat, dog"):
        read_folder(tmp_path / "s")


def test_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "p" / "a").mkdir(parents=True)
    (tmp_path / "p" / "a" / "1.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 others such as a/1\.heic"):
        read_folder(tmp_path / "p")


def test_a_folder_one_too_high_is_told(make_folder: Callable) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root.parent / "up").mkdir()
    root.rename(root.parent / "up" / "photos")
    with pytest.raises(DataError, match="did you mean .*/up/photos"):
        read_folder(root.parent / "up")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights(make_folder: Callable) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root / "a").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        read_folder(root)


def test_links_to_a_class_are_read_once(make_folder: Callable) -> None:
    root = make_folder({"b": 2, "c": 2})
    (root / "a").symlink_to(root / "b")
    source = read_folder(root)
    assert source.classes == ("b", "c")
    assert kinds(root)["link-loop"] == ("a",)


def test_links_to_images_within_are_taken(make_folder: Callable) -> None:
    root = make_folder({"b": 2, "c": 2})
    (root / "b" / "again.png").symlink_to(root / "c" / "000.png")
    data = load_data(root)
    assert len(data) == 5
    assert {p.kind for p in data.problems} == {"duplicate", "conflicting-labels"}


def test_a_broken_link_is_listed(make_folder: Callable) -> None:
    root = make_folder({"b": 60, "c": 60})
    (root / "b" / "gone.png").symlink_to(root / "b" / "nowhere.png")
    data = load_data(root)
    assert [(p.kind, p.paths) for p in data.problems] == [("vanished", ("b/gone.png",))]
