import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from striate.data.nearness import (
    is_searchable,
    near_duplicates,
    perceptual_hashes,
    unequal_pairs,
)


def pictures(count: int, size: int = 96) -> NDArray[np.uint8]:
    """Blurred noise: detail at several scales, as in photographs."""
    rng = np.random.default_rng(3)
    images = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7), np.uint8)).convert("RGB")
        fine = Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))
        large = coarse.resize((size, size), Image.Resampling.BICUBIC)
        images.append(np.asarray(Image.blend(large, fine.filter(ImageFilter.BoxBlur(2)), 0.3)))
    return np.stack(images)


def recompressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def rescaled(image: Image.Image) -> Image.Image:
    return image.resize((50, 50)).resize(image.size)


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.15)


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def marked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.paste((255, 255, 255), (4, 4, 16, 9))
    return copy


@pytest.mark.parametrize("edit", [recompressed, rescaled, brighter, grey, marked])
def test_edited_copies_are_found(edit: object) -> None:
    images = pictures(40)
    copies = np.stack([np.asarray(edit(Image.fromarray(image))) for image in images])
    pairs = near_duplicates(np.concatenate((images, copies)))
    expected = {(place, place + 40) for place in range(40)}
    found = {(int(a), int(b)) for a, b in pairs}
    assert len(found & expected) >= (30 if edit is marked else 38)
    assert found <= expected


def test_different_images_are_no_pairs() -> None:
    assert len(near_duplicates(pictures(300, 48))) == 0


def test_grey_images_are_searched_too() -> None:
    images = pictures(20)[..., :1]
    pairs = near_duplicates(np.concatenate((images, images // 2 + 60)))
    assert {(int(a), int(b)) for a, b in pairs} == {(k, k + 20) for k in range(20)}


def test_flat_images_are_no_pairs() -> None:
    assert len(near_duplicates(np.full((50, 64, 64, 3), 200, np.uint8))) == 0


def test_equal_images_are_left_to_the_exact_search() -> None:
    images = np.repeat(pictures(1), 3, axis=0)
    contents = np.zeros((3, 16), np.uint8)
    assert len(near_duplicates(images)) == 3
    assert len(unequal_pairs(images, contents)) == 0
    contents[2] = 1
    np.testing.assert_array_equal(unequal_pairs(images, contents), [[0, 2], [1, 2]])


def test_hashes_do_not_depend_on_the_chunk() -> None:
    images = pictures(60)
    alone = np.concatenate([perceptual_hashes(image[None]) for image in images])
    np.testing.assert_array_equal(perceptual_hashes(images), alone)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 28, 28, 1), False),
        ((10, 28, 28, 3), True),
        ((10, 64, 64, 1), True),
        ((10, 32, 90, 1), False),
    ],
)
def test_small_grey_images_are_not_searched(shape: tuple[int, ...], expected: bool) -> None:
    images = np.zeros(shape, np.uint8)
    assert is_searchable(images) is expected
    if not expected:
        assert len(unequal_pairs(images, np.zeros((10, 16), np.uint8))) == 0
