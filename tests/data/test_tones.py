import io

import numpy as np
import pytest
from PIL import Image

from striate.data.tones import flatten, is_grey, is_transparent

WHITE = (255, 255, 255)
LEVELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def rgb(image: Image.Image, background: tuple[int, ...] = WHITE) -> np.ndarray:
    return np.asarray(flatten(image, 3, background)).astype(int)


def test_cmyk_is_the_product_of_ink_and_black() -> None:
    inks = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    expected = (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255
    assert np.abs(rgb(Image.fromarray(inks, "CMYK")) - expected).max() <= 1


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(LEVELS // 64)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]])[LEVELS // 64]
    np.testing.assert_array_equal(rgb(image), expected)
    assert not is_grey(image)


def test_a_grey_palette_is_grey() -> None:
    image = Image.fromarray(LEVELS // 64)
    image.putpalette([0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255])
    assert is_grey(image)
    np.testing.assert_array_equal(np.asarray(flatten(image, 1, (255,))), LEVELS // 64 * 85)


def test_one_bit_is_black_and_white() -> None:
    np.testing.assert_array_equal(
        rgb(Image.fromarray(LEVELS > 99))[..., 0], np.where(LEVELS > 99, 255, 0)
    )


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_alpha_is_laid_on_the_background(mode: str) -> None:
    alpha = Image.fromarray(LEVELS)
    image = Image.new("L", (8, 8), 40).convert("P" if mode == "PA" else mode.removesuffix("A"))
    image = image.convert("RGBA")
    image.putalpha(alpha)
    share = LEVELS[..., None] / 255
    expected = share * 40 + (1 - share) * np.array([200, 100, 0])
    converted = image.convert(mode) if mode != "PA" else image.convert("PA")
    assert is_transparent(converted)
    assert np.abs(rgb(converted, (200, 100, 0)) - expected).max() <= 1


def test_hidden_colours_do_not_appear() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    np.testing.assert_array_equal(rgb(image), 255)
    grey = np.asarray(flatten(image, 1, (7,)))
    np.testing.assert_array_equal(grey, 7)


def test_a_transparent_colour_of_a_palette_is_transparent() -> None:
    image = Image.fromarray(LEVELS // 64)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=bytes([0, 255, 255, 255]))
    opened = Image.open(file)
    assert is_transparent(opened)
    np.testing.assert_array_equal(rgb(opened)[LEVELS < 64], 255)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    image = Image.fromarray(levels)
    assert is_grey(image)
    assert np.abs(rgb(image)[..., 0] - levels / 257).max() <= 1


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (LEVELS.astype(np.int32) * 257, LEVELS),
        (LEVELS.astype(np.float32), LEVELS),
        (LEVELS.astype(np.float32) / 255, LEVELS),
        (LEVELS.astype(np.float32) - 100, LEVELS / 252 * 255),
        (LEVELS.astype(np.int32) * 100_000, LEVELS / 252 * 255),
    ],
)
def test_wide_levels_are_scaled_by_their_range(levels: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(rgb(Image.fromarray(levels))[..., 0] - expected).max() <= 1


def test_pixels_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        rgb(Image.fromarray(np.full((2, 2), np.nan, np.float32)))
