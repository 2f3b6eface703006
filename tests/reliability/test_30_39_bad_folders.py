"""Lines 30 to 39 of the reliability matrix, and 45: bad folders and archives, really made."""

import csv
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.reliability.made_photos import encoded, listed, noise, striate

from striate.data import (
    TEST,
    TRAIN,
    VALIDATION,
    check_data,
    load_data,
    unescape_name,
)
from striate.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


# 30: empty class folder


def test_30_an_empty_class_is_named_and_skipped(photos: Path) -> None:
    (photos / "birds").mkdir()
    assert load_data(photos).classes == ("cats", "dogs")
    assert listed(photos)["empty-class"] == [("birds",)]


def test_30_under_two_classes_is_an_error_that_names_them(photos: Path) -> None:
    for path in (photos / "dogs").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="only class with images is cats; without images: dogs"):
        load_data(photos)


# 31: a class with one image


@pytest.mark.parametrize("seed", range(5))
def test_31_a_lone_image_stays_in_training(photos: Path, seed: int) -> None:
    (photos / "owls").mkdir()
    noise(5000).save(photos / "owls" / "only.png")
    data = load_data(photos).split(validation=0.3, test=0.3, seed=seed)
    assert data.splits[data.names.index("owls/only.png")] == TRAIN
    assert listed(photos)["single-image-class"] == [("owls/only.png",)]


# 32: hidden files


def test_32_hidden_files_are_ignored_and_that_is_said(photos: Path) -> None:
    (photos / ".ipynb_checkpoints").mkdir()
    noise(1).save(photos / ".ipynb_checkpoints" / "a.png")
    (photos / "cats" / "Thumbs.db").write_bytes(b"x")
    (photos / "cats" / "._00.png").write_bytes(b"x")
    (photos / "__MACOSX").mkdir()
    data = load_data(photos)
    assert data.classes == ("cats", "dogs")
    assert len(data) == 60
    (names,) = listed(photos)["hidden"]
    assert set(names) == {".ipynb_checkpoints", "cats/Thumbs.db", "cats/._00.png", "__MACOSX"}


# 33: exact duplicates across splits


def test_33_exact_duplicates_stay_together_and_are_counted(photos: Path) -> None:
    for number in range(10):
        for copy in range(3):
            target = photos / "cats" / f"copy{copy}-{number}.png"
            shutil.copy(photos / "cats" / f"{number:02}.png", target)
    assert len(listed(photos)["duplicate"]) == 10
    assert all(len(paths) == 4 for paths in listed(photos)["duplicate"])
    for seed in range(20):
        data = load_data(photos).split(validation=0.3, test=0.3, seed=seed)
        sides: dict[bytes, set[int]] = {}
        for content, side in zip(data.contents, data.splits.tolist(), strict=True):
            sides.setdefault(content.tobytes(), set()).add(side)
        assert all(len(side) == 1 for side in sides.values())
        assert {TRAIN, VALIDATION, TEST} <= set(data.splits.tolist())


# 34: near duplicates


def test_34_near_duplicates_are_warned_of_with_their_pairs(photos: Path) -> None:
    with Image.open(photos / "cats" / "03.png") as image:
        image.save(photos / "dogs" / "again.jpg", quality=60)
    assert listed(photos)["near-duplicate"] == [("cats/03.png", "dogs/again.jpg")]


# 35: one image under two labels


def test_35_one_image_under_two_labels_is_listed_and_kept(photos: Path) -> None:
    shutil.copy(photos / "cats" / "05.png", photos / "dogs" / "05-cat.png")
    assert listed(photos)["conflicting-labels"] == [("cats/05.png", "dogs/05-cat.png")]
    assert len(load_data(photos)) == 61


# 36: names


NAMES = [
    b"\xff\xfe.png",
    "🦉.png".encode(),
    b"new\nline.png",
    b"<script>alert(1)</script>".replace(b"/", b"\\"),
]
NAMES += [b"=1+1.png", b'quote".png', b"\x1b[31mred.png", "\u202egpj.png".encode()]


def test_36_strange_names_work_and_are_escaped(photos: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        with open(os.path.join(os.fsencode(photos / "cats"), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(encoded(noise(3000 + number), "PNG"))
    data = load_data(photos).split()
    assert len(data) == 60 + len(NAMES)
    for name in data.names:
        assert len(name.splitlines()) == 1
        assert "\x1b" not in name
        assert Path(os.fsdecode(photos), unescape_name(name)).is_file()
    rows = csv.DictReader(io.StringIO(data.manifest(), newline=""))
    assert [row["name"] for row in rows] == list(data.names)


def test_36_a_class_may_have_a_strange_name_too(tmp_path: Path) -> None:
    for number, name in enumerate((b"\xff", b"a\nb", b"<b>")):
        folder = Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"/" + name))
        folder.mkdir(parents=True)
        for place in range(2):
            noise(10 * number + place).save(folder / f"{place}.png")
    assert set(load_data(tmp_path / "odd").classes) == {"\\xff", "a\\nb", "<b>"}


def test_36_the_terminal_shows_them_escaped(photos: Path) -> None:
    (photos / "cats" / "a\x1b]0;owned\x07\nb.jpg").write_bytes(b"")
    done = striate("check", photos)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "a\\u001b]0;owned\\u0007\\nb.jpg" in done.stdout.replace("\n", "")


# 37: symlink loop, link out of the folder


def test_37_a_loop_ends(photos: Path) -> None:
    (photos / "cats" / "loop").symlink_to(photos)
    (photos / "cats" / "self").symlink_to(photos / "cats")
    (photos / "me").symlink_to(photos)
    (photos / "cats" / "round.png").symlink_to(photos / "cats" / "round.png")
    assert len(load_data(photos)) == 60
    assert listed(photos)["link-loop"] == [("me", "cats/loop", "cats/self")]


def test_37_a_link_out_of_the_folder_needs_the_flag(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "owls").mkdir(parents=True)
    for number in range(3):
        noise(900 + number).save(tmp_path / "elsewhere" / "owls" / f"{number}.png")
    (photos / "owls").symlink_to(tmp_path / "elsewhere" / "owls")
    (photos / "cats" / "out.png").symlink_to(tmp_path / "elsewhere" / "owls" / "0.png")
    assert len(load_data(photos)) == 60
    assert listed(photos)["outside-link"] == [("owls", "cats/out.png")]
    followed = load_data(photos, follow_links=True)
    assert len(followed) == 64
    assert followed.classes == ("cats", "dogs", "owls")


# 38: a file unreadable or vanishing in mid-run


def test_38_a_file_that_vanishes_during_the_scan_is_listed(tmp_path: Path) -> None:
    root = tmp_path / "many"
    for place, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for number in range(300):
            noise(1000 * place + number, (8, 8)).save(root / name / f"{number:03}.png")

    def remove(done: int, total: int) -> None:
        (root / "b" / "299.png").unlink(missing_ok=True)

    data = load_data(root, progress=remove, threads=1)
    assert len(data) == 599
    assert [p.paths for p in data.problems if p.kind == "vanished"] == [("b/299.png",)]


def test_38_over_one_in_a_hundred_vanished_is_an_error(photos: Path) -> None:
    table = photos / "labels.csv"
    rows = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(photos.glob("*/*.png"))]
    table.write_text("\n".join(("path,label", *rows)), encoding="utf-8")
    (photos / "cats" / "07.png").unlink()  # 1 of 60
    with pytest.raises(DataError, match="1 of 60 images cannot be used: cats/07.png: .*not there"):
        load_data(table)


def test_38_once_stored_the_files_are_not_needed(photos: Path) -> None:
    data = load_data(photos)
    before = data.images.copy()
    shutil.rmtree(photos)
    np.testing.assert_array_equal(data.images, before)


def test_38_pipes_and_devices_are_listed(photos: Path) -> None:
    os.mkfifo(photos / "cats" / "pipe.png")
    assert listed(photos)["unreadable"] == [("cats/pipe.png",)]


# 39: wrong layout


@pytest.fixture(params=["flat", "nested", "zip", "image"])
def wrong(request: pytest.FixtureRequest, photos: Path, tmp_path: Path) -> Path:
    if request.param == "flat":
        return photos / "cats"
    if request.param == "nested":
        (tmp_path / "n" / "2023").mkdir(parents=True)
        (tmp_path / "n" / "2024").mkdir()
        shutil.copytree(photos, tmp_path / "n" / "2023", dirs_exist_ok=True)
        return tmp_path / "n"
    if request.param == "image":
        return photos / "cats" / "00.png"
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(photos / "cats" / "00.png", "cats/00.png")
    return tmp_path / "photos.zip"


def test_39_a_wrong_layout_shows_both_trees(wrong: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_data(wrong)
    text = str(raised.value)
    found, expected = text.index("; found "), text.index(", expected photos/{cats/{01.jpg")
    assert wrong.name in text[found:expected]
    assert "\n" not in text
    assert raised.value.status == 3
    with pytest.raises(DataError):
        check_data(wrong)


# 45: data zip with ../, absolute names, symlinks, bombs


def hostile_archives(folder: Path) -> Iterator[Path]:
    with zipfile.ZipFile(folder / "up.zip", "w") as archive:
        archive.writestr("../../escaped.txt", "x")
        archive.writestr(str(folder / "absolute.txt"), "x")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    yield folder / "up.zip"
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(50_000_000))
    yield folder / "bomb.zip"
    (folder / "bomb.npz").write_bytes((folder / "bomb.zip").read_bytes())
    yield folder / "bomb.npz"
    with tarfile.open(folder / "up.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../escaped.txt"))
    yield folder / "up.tar.gz"


def test_45_hostile_archives_are_refused_and_never_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    archives = list(hostile_archives(folder))
    before = sorted(tmp_path.rglob("*"))
    for path in archives:
        with pytest.raises(DataError) as raised:
            load_data(path)
        assert raised.value.status == 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_45_a_table_or_archive_of_another_kind_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(DataError, match=path.name):
        load_data(path)
