"""Section B of the reliability matrix, and line 45: bad data, each line with really made files."""

import csv
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from striate.data import (
    TEST,
    TRAIN,
    VALIDATION,
    Preprocessing,
    check_data,
    decode_image,
    load_data,
    unescape_name,
)
from striate.errors import DataError

WHOLE = Preprocessing(size=(16, 16), channels=3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


def noise(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 30 sound images each."""
    root = tmp_path / "photos"
    for place, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            noise(100 * place + number).save(root / name / f"{number:02}.png")
    return root


def listed(source: object) -> dict[str, list[tuple[str, ...]]]:
    """The names of what is found, by kind."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for problem in load_data(source).problems:
        found.setdefault(problem.kind, []).append(problem.paths)
    return found


def striate(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; from striate.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


# 21: empty file, text, HTML named .jpg


@pytest.mark.parametrize("content", [b"", b"some text", b"<!DOCTYPE html><html></html>"])
def test_21_what_is_no_image_is_listed_and_skipped(photos: Path, content: bytes) -> None:
    (photos / "cats" / "bad.jpg").write_bytes(content)
    assert listed(photos)["unreadable"] == [("cats/bad.jpg",)]
    assert len(load_data(photos)) == 60


def test_21_over_five_in_a_hundred_is_an_error_of_status_3(photos: Path) -> None:
    for number in range(4):  # 4 of 64 are 6 %
        (photos / "cats" / f"bad{number}.jpg").write_bytes(b"")
    with pytest.raises(
        DataError, match="4 of 64 images cannot be used: cats/bad0.jpg: it is empty"
    ):
        load_data(photos)
    assert DataError.status == 3


# 22: half a JPEG


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_22_half_a_jpeg_is_listed(photos: Path, share: float, options: dict[str, bool]) -> None:
    content = encoded(noise(7, (300, 400)), "JPEG", **options)
    (photos / "cats" / "half.jpg").write_bytes(content[: int(share * len(content))])
    assert listed(photos)["truncated"] == [("cats/half.jpg",)]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_22_half_of_another_format_is_listed(photos: Path, kind: str) -> None:
    content = encoded(noise(7), kind)
    (photos / "cats" / "half.png").write_bytes(content[: len(content) // 2])
    found = listed(photos)
    assert found.get("truncated", found.get("unreadable")) == [("cats/half.png",)]


# 23: CMYK, palette, LA, 1-bit, float modes


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG")),
        *(("1", "PNG"), ("1", "TIFF"), ("F", "TIFF"), ("L", "JPEG"), ("YCbCr", "TIFF")),
    ],
)
def test_23_every_mode_is_rgb_within_one_of_the_reference(mode: str, kind: str) -> None:
    rows, columns = np.mgrid[:16, :16]
    colours = np.stack((rows * 16, columns * 16, rows * 8 + columns * 8), 2).astype(np.uint8)
    image = Image.fromarray(colours).convert("L" if mode in ("LA", "F", "1") else "RGB")
    image = image.convert(mode)
    content = encoded(image, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        reference = _reference_rgb(opened)
    found = decode_image(content, WHOLE).astype(int)
    assert np.abs(found - reference).max() <= 1


def _reference_rgb(image: Image.Image) -> np.ndarray:
    """Each mode by its definition, in double precision."""
    pixels = np.asarray(image).astype(float)
    if image.mode == "CMYK":
        return (255 - pixels[..., :3]) * (255 - pixels[..., 3:]) / 255
    if image.mode == "P":
        return np.array(image.getpalette("RGB")).reshape(-1, 3)[np.asarray(image)]
    if image.mode == "YCbCr":
        return np.asarray(image.convert("RGB")).astype(float)
    if image.mode == "LA":
        pixels = pixels[..., 0]
    if image.mode == "1":
        pixels = pixels * 255
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)


# 24: 16-bit grey


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_24_sixteen_bits_are_scaled_by_their_true_range_and_that_is_said(
    tmp_path: Path, kind: str
) -> None:
    levels = (np.arange(256, dtype=np.uint16).reshape(16, 16) * 257).astype(np.uint16)
    root = tmp_path / "scans"
    for number in range(4):
        path = root / "ab"[number % 2] / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(levels, number, 0)).save(path)
    data = load_data(root)
    assert data.images.shape[3] == 1
    expected = np.roll(levels, 0, 0) // 257
    np.testing.assert_array_equal(
        data.images[data.names.index(f"a/0.{kind.lower()}")][..., 0], expected
    )
    assert len(listed(root)["sixteen-bit"][0]) == 4


# 25: alpha


def test_25_alpha_is_laid_on_a_stated_background(photos: Path) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))  # red that nobody sees
    image.paste((10, 20, 30, 255), (0, 0, 40, 20))
    image.save(photos / "cats" / "alpha.png")
    for background, shown in ((None, (255, 255, 255)), ((1, 2, 3), (1, 2, 3))):
        data = load_data(photos, background=background)
        pixels = data.images[data.names.index("cats/alpha.png")]
        np.testing.assert_array_equal(pixels[30, 5], shown)
        np.testing.assert_array_equal(pixels[5, 5], (10, 20, 30))
        assert data.preprocessing.background == shown
    assert listed(photos)["transparency"] == [("cats/alpha.png",)]


# 26: EXIF rotation


@pytest.mark.parametrize("orientation", range(2, 9))
def test_26_exif_rotation_is_applied_alike_in_training_and_prediction(
    photos: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner = Image.new("RGB", (40, 40), (0, 0, 0))
    corner.paste((255, 255, 255), (0, 0, 20, 10))
    content = encoded(corner, "JPEG", exif=exif, quality=95)
    (photos / "cats" / "turned.jpg").write_bytes(content)
    with Image.open(io.BytesIO(content)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    data = load_data(photos)
    trained = data.images[data.names.index("cats/turned.jpg")]
    predicted = decode_image(photos / "cats" / "turned.jpg", data.preprocessing)
    np.testing.assert_array_equal(trained, upright)
    np.testing.assert_array_equal(predicted, upright)
    assert listed(photos)["exif-rotation"] == [("cats/turned.jpg",)]


# 27: animated GIF, WebP


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_27_the_first_frame_is_taken_and_that_is_said(photos: Path, kind: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    (photos / "cats" / "moving.gif").write_bytes(content)
    data = load_data(photos)
    np.testing.assert_array_equal(
        data.images[data.names.index("cats/moving.gif")],
        np.broadcast_to(np.array([255, 0, 0]), (40, 40, 3)),
    )
    assert listed(photos)["animated"] == [("cats/moving.gif",)]


def test_27_over_a_thousand_frames_are_refused(photos: Path) -> None:
    frames = [Image.new("L", (4, 4), number % 2 * 255) for number in range(1001)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (photos / "cats" / "film.gif").write_bytes(content)
    assert listed(photos)["too-many-frames"] == [("cats/film.gif",)]
    with pytest.raises(DataError, match="more than 1000"):
        decode_image(content, WHOLE)


# 28: 1x1, 1x5000


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_28_the_narrowest_images_are_loaded(
    photos: Path, size: tuple[int, int], resize: str
) -> None:
    noise(1, size).save(photos / "cats" / "thin.png")
    data = load_data(photos, size=16, resize=resize)
    assert data.images.shape == (61, 16, 16, 3)
    assert load_data(photos).images.shape[0] == 61


# 29: 20,000 x 20,000 header


def test_29_a_huge_header_is_listed_without_decoding(photos: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    for name, side in (("below", 7100), ("bomb", 12_000), ("huge", 20_000)):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        content += chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        (photos / "cats" / f"{name}.png").write_bytes(content)
    found = listed(photos)
    names = [("cats/below.png",), ("cats/bomb.png",), ("cats/huge.png",)]
    assert found["too-large"] == names
    assert "50 million pixels" in str(_error(photos / "cats" / "huge.png"))


def _error(path: Path) -> DataError:
    with pytest.raises(DataError) as raised:
        decode_image(path, WHOLE)
    return raised.value


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
