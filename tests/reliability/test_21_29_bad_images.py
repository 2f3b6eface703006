"""Lines 21 to 29 of the reliability matrix: bad images, each line with really made files."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.reliability.made_photos import encoded, listed, noise

from striate.data import (
    Preprocessing,
    decode_image,
    load_data,
)
from striate.errors import DataError

WHOLE = Preprocessing(size=(16, 16), channels=3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


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
