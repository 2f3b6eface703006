"""The compiled gather of a batch, against the same batch by PyTorch: bit for bit, but for warps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import fused
from striate.data.augment import Augmentation
from striate.data.batches import Batches
from striate.data.fused import FusedGather, can_fuse_batches
from striate.data.normalise import to_tensor
from striate.data.pixels import warp
from striate.kernels import gather, gather_images, load_library

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

CPU = torch.device("cpu")
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
THOROUGH = Augmentation(
    flip="alternating", translate=2, brightness=0.1, contrast=0.1, saturation=0.2, hue=0.1, cutout=3
)
AUGMENTATIONS = st.builds(
    Augmentation,
    flip=st.sampled_from(["none", "random", "alternating"]),
    translate=st.sampled_from([0, 1, 2, 7, 50]),
    brightness=st.sampled_from([0.0, 0.3, 1.0]),
    contrast=st.sampled_from([0.0, 0.4, 1.0]),
    saturation=st.sampled_from([0.0, 0.5]),
    hue=st.sampled_from([0.0, 0.5]),
    cutout=st.sampled_from([0, 1, 4, 60]),
)


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """As many threads, whatever there is to do."""
    monkeypatch.setattr(gather, "FEWEST_BYTES", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make(images, augment, *, kernels, dtype=torch.float32, batch_size=None):
    count, channels = len(images), images.shape[3]
    return Batches(
        images,
        np.arange(count) % 2,
        np.arange(count),
        batch_size=batch_size or count,
        seed=5,
        mean=(MEAN * 2)[:channels],
        std=(STD * 2)[:channels],
        augment=augment,
        kernels=kernels,
        dtype=dtype,
    )


def check(images, augment, dtype, *, epoch=1, batch_size=None):
    by_pytorch, compiled = (
        make(images, augment, kernels=kernels, dtype=dtype, batch_size=batch_size).epoch(epoch)
        for kernels in (False, True)
    )
    for right, found in zip(by_pytorch, compiled, strict=True):
        assert found.images.dtype == dtype
        assert found.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found.images, right.images)
        assert torch.equal(found.labels, right.labels)
        assert torch.equal(found.indices, right.indices)


@settings(deadline=None, max_examples=150)
@given(
    augment=AUGMENTATIONS,
    shape=st.tuples(*(st.integers(1, most) for most in (6, 19, 35))),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    epoch=st.integers(0, 3),
)
def test_any_batch_is_that_of_pytorch(processor, augment, shape, channels, dtype, epoch):
    check(pixels(*shape, channels), augment, dtype, epoch=epoch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (5, 32, 32, 3), (7, 28, 28, 1), (3, 5, 517, 3)])
def test_one_thread_and_two_give_the_bits_of_pytorch(processor, threads, shape, dtype):
    check(pixels(*shape), THOROUGH, dtype)
    check(pixels(*shape), Augmentation(flip="random", translate=4), dtype)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_any_number_of_channels_may_be_moved_and_blanked(processor, channels):
    augment = Augmentation(flip="random", translate=3, cutout=2)
    check(pixels(4, 6, 9, channels), augment, torch.float32)


def test_every_level_of_every_channel_becomes_what_pytorch_makes_of_it(processor):
    levels = np.arange(256, dtype=np.uint8)
    images = np.stack([levels, levels[::-1], np.roll(levels, 9)], axis=-1).reshape(1, 16, 16, 3)
    for dtype in (torch.float32, torch.bfloat16):
        check(images, Augmentation(), dtype)


@pytest.mark.parametrize("augment", [Augmentation(), THOROUGH], ids=["plain", "thorough"])
def test_a_memory_map_gives_what_an_array_gives(augment, tmp_path):
    images = pixels(40, 9, 7, 3)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    check(mapped, augment, torch.float32, batch_size=8)
    one, other = (next(make(source, augment, kernels=True).epoch(0)) for source in (images, mapped))
    assert torch.equal(one.images, other.images)


def test_a_batch_that_is_worth_all_threads_is_that_of_pytorch():
    images = pixels(6, 200, 150, 3)
    assert images.nbytes * 4 > gather.FEWEST_BYTES
    check(images, THOROUGH, torch.float32)


@settings(deadline=None, max_examples=100)
@given(
    augment=AUGMENTATIONS,
    crop=st.sampled_from([1.0, 0.5, 0.01]),
    rotate=st.sampled_from([0.0, 5.0, 180.0]),
    shape=st.tuples(*(st.integers(1, most) for most in (6, 19, 35))),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_images_that_are_cropped_and_turned_are_those_of_pytorch_to_rounding(
    processor, augment, crop, rotate, shape, channels, dtype
):
    augment = augment.model_copy(update={"crop": crop, "rotate": rotate})
    expected, found = (
        next(make(pixels(*shape, channels), augment, kernels=kernels, dtype=dtype).epoch(1)).images
        for kernels in (False, True)
    )
    # a place is exact to 1e-6 of the image's side, a pixel differs from the next by 4 at most
    close = {"rtol": 1e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {"rtol": 0, "atol": 1e-3}
    torch.testing.assert_close(found, expected, **close)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [255, 256, 257, 700])
def test_crops_of_wide_images_are_those_of_pytorch_to_rounding(processor, width, channels):
    augment = Augmentation(flip="random", crop=0.2, translate=3)
    expected, found = (
        next(make(pixels(5, 9, width, channels), augment, kernels=kernels).epoch(1)).images
        for kernels in (False, True)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3)  # 4 times 1e-6 of the side


def test_warped_images_are_the_same_in_any_batch_by_any_number_of_threads(threads):
    augment = Augmentation(flip="random", crop=0.3, rotate=20, hue=0.1)
    images = pixels(12, 300, 21, 3)
    whole = next(make(images, augment, kernels=True).epoch(2))
    for part in make(images, augment, kernels=True, batch_size=3).epoch(2):
        for image, index in zip(part.images, part.indices, strict=True):
            assert torch.equal(image, whole.images[whole.indices == index][0])


def test_a_turn_by_nothing_changes_nothing(processor):
    images = pixels(3, 17, 300, 3)
    by_table, sampled = (
        next(make(images, Augmentation(rotate=turn), kernels=True).epoch(0)).images
        for turn in (0, 1e-30)
    )
    torch.testing.assert_close(sampled, by_table, rtol=0, atol=2e-4)


def test_what_lies_elsewhere_is_left_to_pytorch():
    cropping = Augmentation(crop=0.5)
    assert can_fuse_batches(THOROUGH, channels=3, device=CPU)
    assert can_fuse_batches(cropping, channels=1, device=CPU)
    assert not can_fuse_batches(THOROUGH, channels=3, device=torch.device("meta"))
    assert not can_fuse_batches(THOROUGH, channels=2, device=CPU)
    assert not can_fuse_batches(cropping, channels=2, device=CPU)


@pytest.mark.parametrize(
    ("channels", "kernels", "compiled"), [(3, True, True), (3, False, False), (2, True, False)]
)
def test_batches_choose_by_what_is_asked_for(channels, kernels, compiled):
    augment = Augmentation(crop=0.5)
    chosen = make(pixels(4, 8, 8, channels), augment, kernels=kernels)._gather
    assert isinstance(getattr(chosen, "__self__", None), FusedGather) == compiled


def test_warps_that_shrink_wide_images_are_those_of_pytorch(processor):
    """They see more of a row than upright crops have room for."""
    images = pixels(3, 6, 700, 3)
    warps = np.zeros((3, 2, 3), np.float32)
    warps[:, 0, 0], warps[:, 1, 1], warps[:, 0, 2] = (2.5, -3, 0.9), (0.5, 1, 2), (0.1, 0, -0.3)
    nothing = (0.0,) * 3, (1.0,) * 3
    found = torch.empty(images.shape)
    scaling = fused._scaling(Augmentation(), *nothing, torch.float32)
    gather_images(images, np.arange(3), found, scaling, warps=warps)
    expected = warp(to_tensor(torch.from_numpy(images), *nothing), torch.from_numpy(warps))
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-3)
