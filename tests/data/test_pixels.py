import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.pixels import blank, gather, mean_luma, recolour, reflect, warp


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 40))
def test_reflect_is_numpys_reflection(size, reach):
    places = reflect(np.arange(-reach, size + reach), size)
    assert places.tolist() == np.pad(np.arange(size), reach, mode="reflect").tolist()


def test_gather_takes_whole_images():
    images = pixels(7, 4, 5, 3)
    indices = np.array([6, 0, 6])
    assert np.array_equal(gather(images, indices), images[indices])


@pytest.mark.parametrize("channels", [1, 3])
def test_gather_takes_each_pixel_from_its_place(channels):
    images = pixels(7, 4, 5, channels)
    generator = np.random.default_rng(1)
    indices = np.array([6, 0, 6])
    rows, columns = generator.integers(0, 4, (3, 4)), generator.integers(0, 5, (3, 5))
    expected = images[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
    assert np.array_equal(gather(images, indices, rows, columns), expected)


def warped(image: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """Warp one (H, W) image."""
    batch = torch.from_numpy(image.astype(np.float32))[None, None]
    return warp(batch, torch.tensor([matrix]))[0, 0].numpy()


def test_warp_by_the_identity_changes_nothing():
    image = pixels(5, 8)
    assert np.allclose(warped(image, [[1, 0, 0], [0, 1, 0]]), image, atol=1e-3)


def test_warp_mirrors_turns_and_magnifies():
    image = pixels(6, 6)
    assert np.allclose(warped(image, [[-1, 0, 0], [0, 1, 0]]), image[:, ::-1], atol=1e-3)
    assert np.allclose(warped(image, [[0, 1, 0], [-1, 0, 0]]), np.rot90(image, -1), atol=1e-3)
    halves = np.repeat(np.repeat([[10.0, 20.0], [30.0, 40.0]], 4, axis=0), 4, axis=1)
    corner = warped(halves, [[0.25, 0, -0.75], [0, 0.25, -0.75]])
    assert np.allclose(corner, 10)


def test_warp_reflects_beyond_the_border():
    image = pixels(4, 4)
    shifted = warped(image, [[1, 0, 0.5], [0, 1, 0]])  # one pixel to the right
    assert np.allclose(shifted[:, :3], image[:, 1:], atol=1e-3)
    assert np.allclose(shifted[:, 3], image[:, 3], atol=1e-3)


def test_mean_luma_weighs_the_channels():
    images = pixels(5, 4, 6, 3)
    expected = (images / 255).mean(axis=(1, 2)) @ [0.299, 0.587, 0.114]
    assert np.allclose(mean_luma(torch.from_numpy(images)), expected)
    grey = pixels(5, 4, 6, 1)
    assert np.allclose(mean_luma(torch.from_numpy(grey)), (grey / 255).mean(axis=(1, 2, 3)))


def test_recolour_is_a_linear_map_cut_off_at_the_ends():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 5, 5, generator=generator)
    matrices = torch.rand(4, 3, 3, generator=generator)
    offsets = torch.tensor([0.0, -1.0, 0.5, 0.1])
    expected = torch.einsum("brc,bchw->brhw", matrices, images) + offsets[:, None, None, None]
    result = recolour(images, matrices, offsets)
    torch.testing.assert_close(result, expected.clamp(0, 1))
    assert result.min() == 0
    assert result.max() == 1


def test_blank_sets_a_square_to_zero_and_leaves_the_rest():
    images = torch.ones(3, 2, 6, 7)
    result = blank(images, torch.tensor([1, -2, 5]), torch.tensor([2, -1, 6]), 3)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result == result[:, :1]).all()
    zeros = [torch.nonzero(image[0] == 0).tolist() for image in result]
    assert zeros[0] == [[row, column] for row in (1, 2, 3) for column in (2, 3, 4)]
    assert zeros[1] == [[0, 0], [0, 1]]
    assert zeros[2] == [[5, 6]]
