"""Arrays over Pillow's own memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from PIL import Image

from striate.data.lent import pixels_of


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (300, 400, 3), (7, 5, 1)])
def test_an_array_has_the_pixels_of_the_image(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels if shape[2] == 3 else pixels[:, :, 0])
    np.testing.assert_array_equal(pixels_of(image), pixels)


@pytest.mark.skipif(not hasattr(Image.Image, "__arrow_c_array__"), reason="Pillow before 11.3")
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


def test_without_the_interface_it_is_copied():
    class Old(Image.Image):
        @property
        def __arrow_c_array__(self):
            raise AttributeError

    image = Image.new("RGB", (5, 7), (1, 2, 3))
    image.__class__ = Old
    assert pixels_of(image).strides == (15, 3, 1)
