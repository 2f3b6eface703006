"""Arrays over Pillow's own memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import PIL
import pytest
from PIL import Image

from striate.data.lent import pixels_of


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (300, 400, 3), (7, 5, 1)])
def test_an_array_has_the_pixels_of_the_image(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels if shape[2] == 3 else pixels[:, :, 0])
    np.testing.assert_array_equal(pixels_of(image), pixels)


lends = pytest.mark.skipif(
    tuple(map(int, PIL.__version__.split(".")[:2])) < (11, 3), reason="Pillow before 11.3"
)


@lends
def test_three_channels_are_not_copied():
    image = Image.new("RGB", (5, 7), (1, 2, 3))
    array = pixels_of(image)
    image.putpixel((4, 6), (7, 8, 9))
    assert array[6, 4].tolist() == [7, 8, 9]
    assert not array.flags.writeable


def test_an_array_outlives_its_image():
    image = Image.new("RGB", (300, 400), (1, 2, 3))
    array = pixels_of(image)
    image.close()
    del image
    gc.collect()
    others = [Image.new("RGB", (300, 400), (9, 9, 9)) for _ in range(20)]
    assert len(others) == 20
    assert (array == [1, 2, 3]).all()


def test_an_image_of_several_blocks_is_copied():
    """Pillow keeps at most 16 MiB together, and lends no more."""
    image = Image.new("RGB", (2100, 2100), (1, 2, 3))
    image.putpixel((2099, 2099), (7, 8, 9))
    array = pixels_of(image)
    assert array.shape == (2100, 2100, 3)
    assert array[2099, 2099].tolist() == [7, 8, 9]


def test_what_was_lent_is_freed():
    """Pillow 11.2 kept it for ever."""
    image = Image.new("RGB", (300, 400), (1, 2, 3))
    array = pixels_of(image)
    before = Image.core.get_stats()["freed_blocks"]
    image.close()
    del image, array
    gc.collect()
    assert Image.core.get_stats()["freed_blocks"] > before


def test_an_old_pillow_lends_nothing(monkeypatch):
    monkeypatch.setattr(PIL, "__version__", "11.2.1")
    assert pixels_of(Image.new("RGB", (5, 7), (1, 2, 3))).strides == (15, 3, 1)


def test_rows_that_are_apart_are_copied():
    script = """
import numpy as np
from PIL import Image
from striate.data.lent import pixels_of
for width in (1, 5, 64, 401):
    pixels = np.random.default_rng(0).integers(0, 256, (9, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels_of(Image.fromarray(pixels)), pixels)
"""
    environment = {**os.environ, "PILLOW_ALIGNMENT": "64"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def test_an_image_without_pixels_is_an_empty_array():
    assert pixels_of(Image.new("RGB", (0, 7))).size == 0
