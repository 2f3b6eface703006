"""The one way an image file becomes pixels: in training, prediction and serving.

Only JPEG, PNG, WebP, BMP, GIF and TIFF are opened, told by their content, never by their name. A
file is decoded in full, so that half an image is an error and not a grey field.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

# Imported by name: the plugins register themselves, and Pillow need not load the other forty.
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from striate.data.lent import pixels_of
from striate.data.names import escape_name
from striate.data.preprocessing import WHITE, Preprocessing
from striate.data.resize import Pixels, fit
from striate.data.tones import flatten, is_grey, is_transparent
from striate.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
LARGEST_IMAGE = 50_000_000  # pixels
LONGEST_SIDE = 1 << 16  # pixels; scaling keeps a row or column of weights for each
LARGEST_FILE = 1 << 28  # bytes
MOST_FRAMES = 1000
_PLUGINS = (
    *(BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin),
    *(PngImagePlugin, TiffImagePlugin, WebPImagePlugin),
)
_KNOWN_STARTS = (
    (b"%!PS", "it is PostScript"),
    (b"\xc5\xd0\xd3\xc6", "it is PostScript"),
    (b"8BPS", "it is a Photoshop file"),
    (b"%PDF", "it is a PDF"),
    (b"PK\x03\x04", "it is a zip archive"),
)
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_quiet = threading.Lock()


class BadImage(Exception):
    """An image that cannot be used: `kind` as in `Problem`, and the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header of an image tells.

    Args:
        height: In pixels, as the image is seen: after its EXIF rotation.
        width: Likewise.
        grey: Whether it has no colours.
        notes: Kinds of remarks: "transparency", "sixteen-bit", "float", "animated",
            "exif-rotation".
    """

    height: int
    width: int
    grey: bool
    notes: tuple[str, ...]


def decode_image(image: str | Path | bytes, preprocessing: Preprocessing) -> Pixels:
    """Turn an image file into pixels.

    Args:
        image: The path of a file, or what it holds.
        preprocessing: The size and the channels to bring it to.

    Returns:
        uint8 (H, W, C).

    Raises:
        DataError: If it is no whole image in a format of the allow-list, or too large.
    """
    with _told_as_data_error(image):
        return decode_bytes(_content(image), preprocessing)[0]


def decode_full_size(image: str | Path | bytes, *, grey: bool = False) -> Pixels:
    """Turn an image file into pixels at its own size, upright, on white where it is transparent.

    Args:
        image: The path of a file, or what it holds.
        grey: Take the brightness alone.

    Returns:
        uint8 (H, W, C); C is 1 if `grey`, or if the image has no colours, and 3 otherwise.

    Raises:
        DataError: If it is no whole image in a format of the allow-list, or too large.
    """
    with _told_as_data_error(image), _judged(), _opened(io.BytesIO(_content(image))) as opened:
        channels = 1 if grey or _facts(opened).grey else 3
        opened.load()
        upright = flatten(_turn(opened), channels, (WHITE,) * channels)
        return np.ascontiguousarray(pixels_of(upright))


@contextmanager
def _told_as_data_error(image: str | Path | bytes) -> Iterator[None]:
    try:
        yield
    except BadImage as error:
        where = None if isinstance(image, bytes) else escape_name(os.fspath(image))
        hint = "expected " + ", ".join(FORMATS)
        raise DataError(str(error), path=where, hint=hint) from None


def _content(image: str | Path | bytes) -> bytes:
    return image if isinstance(image, bytes) else read_file(os.fspath(image))


def read_file(path: str) -> bytes:
    """Read a regular file of bearable length.

    Raises:
        BadImage: If there is none, or it is too long.
    """
    try:
        file = Path(path)
        _check_file(file.stat())  # a pipe would wait for ever
        return file.read_bytes()
    except FileNotFoundError:
        raise BadImage("vanished", "the file is not there") from None
    except (OSError, ValueError) as error:
        raise BadImage("unreadable", _os_reason(error)) from None


def inspect_file(path: str) -> ImageFacts:
    """Read the header of an image file.

    Raises:
        BadImage: If it is no image in a format of the allow-list, or too large.
    """
    try:
        place = Path(path)
        _check_file(place.stat())
        with place.open("rb") as file, _opened(file) as image:
            return _facts(image)
    except FileNotFoundError:
        raise BadImage("vanished", "the file is not there") from None
    except BadImage:
        raise
    except Exception as error:
        raise _judge(error) from None


def decode_bytes(content: bytes, preprocessing: Preprocessing) -> tuple[Pixels, ImageFacts]:
    """Decode, orient, flatten and resize; as `decode_image`, of bytes, with what the header tells.

    Raises:
        BadImage: If it is no whole image in a format of the allow-list, or too large.
    """
    with _judged(), _opened(io.BytesIO(content)) as image:
        facts = _facts(image)
        _shrink_while_decoding(image, preprocessing.size)
        image.load()
        upright = _turn(image)
        flat = flatten(upright, preprocessing.channels, preprocessing.background)
        return fit(pixels_of(flat), preprocessing), facts


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """Open the header alone, after a look at the first bytes."""
    start = file.read(512)
    file.seek(0)
    try:
        with _without_warnings():
            image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise BadImage("unreadable", _unidentified(start)) from None
    with image:
        width, height = image.size
        if width * height > LARGEST_IMAGE:
            raise BadImage("too-large", _too_large(f"{width} x {height}"))
        if max(width, height) > LONGEST_SIDE:
            raise BadImage("too-large", f"{width} x {height} has a side above {LONGEST_SIDE}")
        yield image


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow, one thread at a time: the filters of `warnings` are the whole process's."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _facts(image: Image.Image) -> ImageFacts:
    width, height = image.size
    notes = []
    if _turned_by(image) in _SIDEWAYS:
        width, height = height, width
    if _turned_by(image) != 1:
        notes.append("exif-rotation")
    if is_transparent(image):
        notes.append("transparency")
    if image.mode.startswith("I"):
        notes.append("sixteen-bit")
    if image.mode == "F":
        notes.append("float")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        frames = getattr(image, "n_frames", 1)
        if frames > MOST_FRAMES:
            raise BadImage("too-many-frames", f"it has {frames} frames, more than {MOST_FRAMES}")
        notes.append("animated")
    return ImageFacts(height, width, is_grey(image), tuple(notes))


def _turned_by(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, without decoding; Pillow turns a TIFF by itself."""
    if image.format == "TIFF" or "exif" not in image.info:
        return 1
    with _without_warnings():
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _turn(image: Image.Image) -> Image.Image:
    if image.format == "JPEG" and image.info.keys().isdisjoint(("exif", "xmp")):
        return image  # as most are; to search it for an orientation takes 0.1 ms
    with _without_warnings():
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image  # Pillow would copy it
        return ImageOps.exif_transpose(image)


def _shrink_while_decoding(image: Image.Image, size: tuple[int, int]) -> None:
    """Let the JPEG decoder scale by 1/2, 1/4 or 1/8, never below twice the size aimed at.

    The rest of the scaling is then done with antialiasing as ever, so that no detail is lost.
    """
    if _turned_by(image) in _SIDEWAYS:
        size = size[::-1]
    height, width = size
    image.draft(None, (2 * width, 2 * height))


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadImage("unreadable", "it is no regular file")
    if status.st_size > LARGEST_FILE:
        raise BadImage("too-large", f"it has {status.st_size} bytes, more than {LARGEST_FILE}")


@contextmanager
def _judged() -> Iterator[None]:
    """Turn whatever a decoder raises into a finding."""
    try:
        yield
    except BadImage:
        raise
    except Exception as error:
        raise _judge(error) from None


def _judge(error: Exception) -> BadImage:
    """Which finding an exception of the decoder is."""
    if isinstance(error, Image.DecompressionBombError):
        return BadImage("too-large", _too_large("it"))
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "unexpected end" in text:
        return BadImage("truncated", "it is cut short")
    if isinstance(error, OSError) and error.errno is not None:
        return BadImage("unreadable", _os_reason(error))
    return BadImage("unreadable", f"it cannot be decoded: {escape_name(str(error))[:120]}")


def _os_reason(error: Exception) -> str:
    return f"it cannot be read: {getattr(error, 'strerror', None) or error}"


def _too_large(given: str) -> str:
    return f"{given} has more than {LARGEST_IMAGE // 1_000_000} million pixels"


def _unidentified(start: bytes) -> str:
    """Say what a file is that is no image."""
    if not start:
        return "it is empty"
    for known, reason in _KNOWN_STARTS:
        if start.startswith(known):
            return reason
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "it is SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is HTML"
    if b"\0" not in start and start.isascii():
        return "it is text"
    return "it is no image of a known format"
