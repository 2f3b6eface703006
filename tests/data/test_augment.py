import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from striate.data.augment import (
    Augmentation,
    augment_tensor,
    blanked_corners,
    colour_maps,
    gather_augmented,
    mirrored,
    source_places,
    warp_matrices,
)
from striate.data.normalise import to_tensor
from striate.data.random import Draws

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
EVERYTHING = Augmentation(
    flip="random",
    translate=2,
    crop=0.4,
    rotate=20,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=0.1,
    cutout=3,
)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def draws(count: int = 5000, *, epoch: int = 0, seed: int = 0) -> Draws:
    return Draws(seed, epoch, np.arange(count))


def augmented(images: np.ndarray, augment: Augmentation, drawn: Draws) -> torch.Tensor:
    gathered = torch.from_numpy(gather_augmented(images, augment, drawn))
    channels = images.shape[3]
    return augment_tensor(gathered, augment, drawn, mean=MEAN[:channels], std=STD[:channels])


def test_the_fields_are_those_of_a_recipe():
    from striate.training.sections import Augment

    assert set(Augmentation.model_fields) == set(Augment.model_fields)
    resolved = Augment(flip="random", translate=2, crop=1.0)
    assert Augmentation.model_validate(resolved.model_dump()).flip == "random"


def test_a_flip_that_is_still_open_is_refused():
    with pytest.raises(ValidationError, match="flip"):
        Augmentation.model_validate({"flip": "auto"})


def test_alternating_flip_mirrors_each_image_every_second_epoch():
    augment = Augmentation(flip="alternating")
    epochs = [mirrored(augment, draws(epoch=epoch)) for epoch in range(4)]
    assert 0.47 < epochs[0].mean() < 0.53
    assert np.array_equal(epochs[0], ~epochs[1])
    assert np.array_equal(epochs[0], epochs[2])
    assert np.array_equal(epochs[1], epochs[3])
    assert not np.array_equal(epochs[0], mirrored(augment, draws(seed=1)))


def test_random_flip_is_by_chance_each_time():
    augment = Augmentation(flip="random")
    first, second = (mirrored(augment, draws(epoch=epoch)) for epoch in range(2))
    assert 0.47 < first.mean() < 0.53
    assert 0.47 < (first == second).mean() < 0.53


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 12), st.sampled_from(["none", "random"]), st.integers(1, 7))
def test_translation_and_flip_are_those_of_padded_images(reach, flip, height):
    images = pixels(30, height, 5, 3)
    augment = Augmentation(flip=flip, translate=reach)
    drawn = draws(30, epoch=3)
    result = gather_augmented(images, augment, drawn)
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    flips = mirrored(augment, drawn)
    for place in range(30):
        source = padded[place, :, ::-1] if flips[place] else padded[place]
        crops = np.lib.stride_tricks.sliding_window_view(source, (height, 5, 3))
        assert (crops == result[place]).all(axis=(-3, -2, -1)).any()


def test_translations_are_uniform_both_ways():
    rows, columns = source_places(Augmentation(translate=2), draws(10_000), (9, 9))
    for middle in (rows[:, 4], columns[:, 4]):
        counts = np.bincount(middle - 2, minlength=5)
        assert abs(counts - 2000).max() < 200
    assert abs(np.corrcoef(rows[:, 4], columns[:, 4])[0, 1]) < 0.05


def test_crops_keep_their_share_and_stay_inside():
    matrices = warp_matrices(Augmentation(crop=0.3), draws(), (20, 30))
    assert (matrices[:, 0, 1] == 0).all()
    width, height = matrices[:, 0, 0], matrices[:, 1, 1]
    area, aspect = width * height, width / height
    assert 0.2 < area.min() < 0.35
    assert area.max() <= 1
    assert aspect.min() >= 3 / 4 - 1e-9
    assert aspect.max() <= 4 / 3 + 1e-9
    edges = np.abs(matrices[:, :, 2]) + np.stack([width, height], axis=1)
    assert edges.max() <= 1 + 1e-9
    assert edges.max() > 0.98


def test_a_turn_is_one_of_pixels_whatever_the_shape():
    h, w = 20, 40
    matrices = warp_matrices(Augmentation(rotate=30), draws(200), (h, w))
    half = np.array([w, h]) / 2
    in_pixels = matrices[:, :, :2] * half[None, :, None] / half[None, None, :]
    identity = np.broadcast_to(np.eye(2), in_pixels.shape)
    assert np.allclose(in_pixels @ in_pixels.transpose(0, 2, 1), identity)
    angle = np.degrees(np.arctan2(in_pixels[:, 1, 0], in_pixels[:, 0, 0]))
    assert -30 <= angle.min() < -25
    assert 25 < angle.max() <= 30
    assert (matrices[:, :, 2] == 0).all()


def test_brightness_scales_all_channels():
    maps, shares = colour_maps(Augmentation(brightness=0.25), draws(), channels=3)
    factors = maps[:, 0, 0]
    assert np.allclose(maps, factors[:, None, None] * np.eye(3), atol=1e-6)
    assert 0.75 <= factors.min() < 0.76
    assert 1.24 < factors.max() <= 1.25
    assert np.allclose(shares, 0)


def test_contrast_keeps_the_mean_and_scales_the_distance_to_it():
    maps, shares = colour_maps(Augmentation(contrast=0.5), draws(), channels=3)
    assert np.allclose(maps[:, 0, 0] + shares, 1)
    assert 0.5 <= maps[:, 0, 0].min() < 0.51


def test_saturation_and_hue_keep_grey_and_brightness():
    maps, shares = colour_maps(Augmentation(saturation=0.9, hue=0.5), draws(500), channels=3)
    luma = np.array([0.299, 0.587, 0.114])
    assert np.allclose(maps @ np.ones(3), 1)
    assert np.allclose(luma @ maps, luma)
    assert np.allclose(shares, 0)


def test_a_hue_turn_keeps_the_saturation_and_a_saturation_change_the_hue():
    from striate.data.augment import _TO_YIQ

    red = np.array([0.9, 0.2, 0.1])
    before = (_TO_YIQ @ red)[1:]
    turned, _ = colour_maps(Augmentation(hue=0.1), draws(500), channels=3)
    after = (turned @ red) @ _TO_YIQ.T[:, 1:]
    assert np.allclose(np.hypot(*after.T), np.hypot(*before))
    angles = np.degrees(np.arctan2(after[:, 1], after[:, 0]) - np.arctan2(before[1], before[0]))
    assert -36 <= angles.min() < -35
    assert 35 < angles.max() <= 36
    paler, _ = colour_maps(Augmentation(saturation=0.5), draws(500), channels=3)
    ratios = ((paler @ red) @ _TO_YIQ.T[:, 1:]) / before
    assert np.allclose(ratios[:, 0], ratios[:, 1])
    assert 0.5 <= ratios.min() < 0.51


def test_colour_changes_reach_the_tensor_on_the_scale_of_0_to_1():
    images = pixels(50, 6, 6, 3)
    augment, drawn = Augmentation(brightness=0.5, contrast=0.5), draws(50)
    maps, shares = colour_maps(augment, drawn, channels=3)
    scaled = images / 255.0
    luma = scaled.mean(axis=(1, 2)) @ [0.299, 0.587, 0.114]
    expected = maps[:, 0, 0, None, None, None] * scaled + (shares * luma)[:, None, None, None]
    expected = (expected.clip(0, 1) - np.array(MEAN)) / np.array(STD)
    result = augmented(images, augment, drawn).permute(0, 2, 3, 1)
    assert np.allclose(result, expected, atol=1e-4)


def test_a_grey_image_has_brightness_but_no_hue():
    images = pixels(20, 6, 6, 1)
    drawn = draws(20)
    plain = to_tensor(torch.from_numpy(images), MEAN[:1], STD[:1])
    hue = augmented(images, Augmentation(hue=0.5, saturation=1.0), drawn)
    torch.testing.assert_close(hue, plain)
    assert not torch.allclose(augmented(images, Augmentation(brightness=0.5), drawn), plain)


def test_cutout_squares_are_centred_anywhere_in_the_image():
    top, left = blanked_corners(Augmentation(cutout=8), draws(), (10, 20))
    assert (top.min(), top.max()) == (-4, 5)
    assert (left.min(), left.max()) == (-4, 15)


def test_cutout_sets_the_square_to_the_mean():
    images = pixels(40, 9, 9, 3)
    result = augmented(images, Augmentation(cutout=3), draws(40))
    blanks = (result == 0).all(dim=1).sum(dim=(1, 2))
    assert blanks.max() == 9
    assert blanks.min() >= 4
    plain = to_tensor(torch.from_numpy(images), MEAN, STD)
    assert torch.equal(result[result != 0], plain[result != 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_at_once_gives_an_ordinary_tensor(channels):
    result = augmented(pixels(30, 11, 13, channels), EVERYTHING, draws(30))
    assert result.shape == (30, channels, 11, 13)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(result).all()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 49), min_size=1, max_size=12, unique=True),
    st.integers(0, 5),
    st.integers(0, 2**40),
)
def test_an_image_becomes_the_same_in_any_batch(chosen, epoch, seed):
    images = pixels(50, 9, 7, 3)
    whole = augmented(images, EVERYTHING, draws(50, epoch=epoch, seed=seed))
    some = augmented(images, EVERYTHING, Draws(seed, epoch, np.array(chosen)))
    assert torch.equal(some, whole[chosen])


def test_epochs_and_seeds_differ():
    images = pixels(10, 9, 7, 3)
    first = augmented(images, EVERYTHING, draws(10))
    assert not torch.equal(first, augmented(images, EVERYTHING, draws(10, epoch=1)))
    assert not torch.equal(first, augmented(images, EVERYTHING, draws(10, seed=1)))
