"""The compiled scaling of images, against Pillow, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import striate.data.resize as by_policy
from striate.data import Preprocessing
from striate.data.resize import fit
from striate.kernels import load_library, resize_image

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

sides = st.integers(1, 90)


def by_pillow(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(by_policy, "can_resize", lambda channels: False)
        return by_policy._scale(*arguments)


@settings(deadline=None, max_examples=200)
@given(
    height=sides,
    width=sides,
    size=st.tuples(sides, sides),
    channels=st.sampled_from([1, 3]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    edges=st.tuples(*[st.floats(0, 1)] * 4) | st.none(),
    extreme=st.booleans(),
)
def test_any_image_is_scaled_as_by_pillow(
    processor, height, width, size, channels, interpolation, edges, extreme
):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    if extreme:  # where a cubic overshoots most
        pixels = (pixels // 128) * np.uint8(255)
    box = None
    if edges is not None:
        left, top, across, down = edges
        left, top = left * (width - 1), top * (height - 1)
        box = (
            left,
            top,
            left + 1 + across * (width - 1 - left),
            top + 1 + down * (height - 1 - top),
        )
    with pytest.MonkeyPatch.context() as patch:
        expected = by_pillow(patch, pixels, size, interpolation, box)
    found = resize_image(pixels, size, filter=interpolation, box=box)
    np.testing.assert_array_equal(found, expected)
    if channels == 3:  # as Pillow keeps them
        other = np.full_like(pixels[:, :, :1], 99)
        for spaced in (np.dstack([pixels, other])[:, :, :3], np.dstack([other, pixels])[:, :, 1:]):
            found = resize_image(spaced, size, filter=interpolation, box=box)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(375, 500, 3), (500, 40, 3), (33, 700, 1)])
def test_a_photo_is_fitted_alike(processor, monkeypatch, resize, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    preprocessing = Preprocessing(size=(64, 48), channels=shape[2], resize=resize)
    monkeypatch.setattr(by_policy, "can_resize", lambda channels: True)
    compiled = fit(pixels, preprocessing)
    monkeypatch.setattr(by_policy, "can_resize", lambda channels: False)
    np.testing.assert_array_equal(compiled, fit(pixels, preprocessing))


def test_images_of_other_channels_are_left_to_pillow():
    pixels = np.zeros((5, 6, 4), np.uint8)
    assert by_policy._scale(pixels, (2, 3), "bilinear").shape == (2, 3, 4)


@pytest.mark.parametrize("shape", [(375, 500), (128, 300), (60, 60)])
def test_wide_images_are_scaled_as_by_pillow_in_one_call(shape):
    """Those for which it, in every version, begins with the rows."""
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    by_pillow = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
    found = resize_image(pixels, (40, 48), filter="bicubic")
    np.testing.assert_array_equal(found, np.asarray(by_pillow))
