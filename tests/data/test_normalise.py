import numpy as np
import pytest
import torch

from striate.data.normalise import standardise, to_tensor
from striate.errors import DataError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def pixels(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixels_become_deviations_from_the_mean(dtype):
    images = pixels(4, 5, 6, 3)
    result = to_tensor(images, MEAN, STD, dtype=dtype)
    expected = (images.numpy() / 255 - np.array(MEAN)) / np.array(STD)
    assert result.shape == (4, 3, 5, 6)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    tolerance = 1e-6 if dtype == torch.float32 else 0.01
    assert np.allclose(result.float().permute(0, 2, 3, 1), expected, atol=tolerance, rtol=tolerance)


def test_grey_images_have_one_channel():
    assert to_tensor(pixels(2, 5, 6, 1), (0.5,), (0.5,)).shape == (2, 1, 5, 6)


def test_an_image_is_the_same_in_any_batch():
    images = pixels(9, 7, 7, 3)
    together = to_tensor(images, MEAN, STD)
    for place in range(9):
        assert torch.equal(to_tensor(images[place : place + 1], MEAN, STD)[0], together[place])


def test_the_images_are_left_as_they_were():
    images = pixels(2, 4, 4, 3)
    before = images.clone()
    to_tensor(images, MEAN, STD)
    assert torch.equal(images, before)


def test_standardise_agrees_with_to_tensor():
    images = pixels(2, 4, 4, 3)
    scaled = to_tensor(images, (0, 0, 0), (1, 1, 1)).contiguous()
    torch.testing.assert_close(standardise(scaled, MEAN, STD), to_tensor(images, MEAN, STD))


@pytest.mark.parametrize(
    ("images", "mean", "std", "message"),
    [
        (torch.zeros(1, 2, 2, 3), MEAN, STD, r"uint8 \(N, H, W, C\), not torch.float32"),
        (torch.zeros(2, 2, 3, dtype=torch.uint8), MEAN, STD, r"not torch.uint8 \(2, 2, 3\)"),
        (pixels(1, 2, 2, 3), (0.5,), STD, r"mean \(0.5,\) .* do not fit images of 3 channels"),
        (pixels(1, 2, 2, 3), MEAN, (0.2, 0.0, 0.2), "one positive deviation a channel"),
    ],
)
def test_what_does_not_fit_is_refused(images, mean, std, message):
    with pytest.raises(DataError, match=message):
        to_tensor(images, mean, std)
