import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from striate.data import Preprocessing, decode_full_size, decode_image
from striate.data.decode import BadImage, decode_bytes, inspect_file
from striate.errors import DataError

COLOUR = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
AS_IT_IS = Preprocessing(size=(24, 40), channels=3)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    levels = [127 + 120 * np.sin(rows / 60 + k) * np.cos(columns / 90) for k in range(3)]
    return Image.fromarray(np.stack(levels, 2).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode_image(encoded(Image.fromarray(COLOUR), kind, **options), AS_IT_IS)
    np.testing.assert_array_equal(pixels, COLOUR)
    assert pixels.dtype == np.uint8


def test_a_path_and_its_bytes_give_the_same(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(COLOUR), "JPEG")
    path = tmp_path / "a.png"  # the name does not matter
    path.write_bytes(content)
    by_path = decode_image(path, AS_IT_IS)
    np.testing.assert_array_equal(by_path, decode_image(content, AS_IT_IS))
    np.testing.assert_array_equal(by_path, decode_image(str(path), AS_IT_IS))
    assert inspect_file(str(path)).height == 24


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = smooth(24, 40)
    content = encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(content)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    size = upright.shape[:2]
    pixels = decode_image(content, Preprocessing(size=size, channels=3))
    np.testing.assert_array_equal(pixels, upright)
    path = tmp_path / "a"
    path.write_bytes(content)
    facts = inspect_file(str(path))
    if kind != "TIFF":
        assert (facts.height, facts.width) == size
        assert ("exif-rotation" in facts.notes) == (orientation != 1)


def test_an_orientation_in_xmp_alone_is_applied() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    content = encoded(Image.fromarray(pixels), "PNG", pnginfo=info)
    upright = decode_image(content, Preprocessing(size=(24, 8), channels=3))
    np.testing.assert_array_equal(upright, pixels.transpose(1, 0, 2))


def test_a_very_long_image_is_refused() -> None:
    content = encoded(Image.new("L", (70_000, 1)), "PNG")
    with pytest.raises(DataError, match="70000 x 1 has a side above 65536"):
        decode_image(content, Preprocessing(size=(4, 4), channels=1))


@pytest.mark.parametrize("orientation", [1, 6])
def test_scaling_in_the_decoder_costs_no_quality(orientation: int) -> None:
    """Against decoding in full and then scaling: the difference is that of rounding."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(smooth(1200, 1600), "JPEG", quality=95, exif=exif)
    pixels = decode_image(content, Preprocessing(size=(64, 96), channels=3)).astype(int)
    with Image.open(io.BytesIO(content)) as full:
        upright = ImageOps.exif_transpose(full)
        expected = np.asarray(upright.resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels - expected).max() <= 2


def test_grey_is_decoded_to_one_channel() -> None:
    content = encoded(Image.fromarray(COLOUR), "PNG")
    pixels = decode_image(content, Preprocessing(size=(24, 40), channels=1))
    expected = np.asarray(Image.fromarray(COLOUR).convert("L"))[..., None]
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1), flips=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_damage_is_an_error_or_an_image(kind: str, place: float, flips: bytes, cut: bool) -> None:
    content = bytearray(encoded(Image.fromarray(COLOUR), kind))
    start = int(place * (len(content) - 1))
    if cut:
        del content[start:]
    else:
        for offset, flip in enumerate(flips[: len(content) - start]):
            content[start + offset] ^= flip
    with contextlib.suppress(BadImage):
        assert decode_bytes(bytes(content), AS_IT_IS)[0].shape == (24, 40, 3)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_noise_is_no_image(content: bytes) -> None:
    with pytest.raises(DataError, match="it "):
        decode_image(content, AS_IT_IS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello", "it is text"),
        (b"  <!DOCTYPE html><html>", "it is HTML"),
        (b"<?xml version='1.0'?><svg>", "it is SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "it is PostScript"),
        (b"8BPS\0\1", "it is a Photoshop file"),
        (b"PK\x03\x04", "it is a zip archive"),
        (b"\0\1\2\3", "it is no image of a known format"),
    ],
)
def test_the_reason_says_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode_image(content, AS_IT_IS)


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: the file is not there"):
        decode_image(tmp_path / "gone.jpg", AS_IT_IS)
    with pytest.raises(DataError, match="no regular file"):
        decode_image(tmp_path, AS_IT_IS)


def test_a_text_bomb_in_a_png_is_refused() -> None:
    chunks = PngImagePlugin.PngInfo()
    content = encoded(Image.fromarray(COLOUR), "PNG", pnginfo=chunks)
    text = b"key\0\0" + zlib.compress(b"a" * 100_000_000, 9)
    bomb = struct.pack(">I", len(text)) + b"zTXt" + text
    bomb += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    header = 8 + 25  # signature and IHDR
    with pytest.raises(DataError, match="too large"):
        decode_image(content[:header] + bomb + content[header:], AS_IT_IS)


def test_a_missing_folder_of_rights_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="not there"):
        inspect_file(str(tmp_path / "gone"))
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(BadImage, match="it is empty"):
        inspect_file(str(tmp_path / "empty"))


def test_an_image_keeps_its_own_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tall.png")
    assert np.array_equal(decode_full_size(tmp_path / "tall.png"), pixels)
    assert decode_full_size(tmp_path / "tall.png", grey=True).shape == (5000, 7, 1)


def test_an_image_of_its_own_size_is_upright_and_without_holes(tmp_path):
    pixels = np.zeros((4, 6, 2), np.uint8)
    pixels[0] = (100, 255)
    image = Image.fromarray(pixels, "LA")
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    upright = decode_full_size(tmp_path / "turned.png")
    assert upright.shape == (6, 4, 1)
    assert (upright[:, -1] == 100).all()
    assert (upright[:, :-1] == 255).all()


def test_what_is_no_image_has_no_size(tmp_path):
    (tmp_path / "a.png").write_bytes(b"<svg>")
    with pytest.raises(DataError, match=r"a.png: it is SVG \(expected JPEG"):
        decode_full_size(tmp_path / "a.png")
