"""Views: the lecture's ten crops, and what averaging them means."""

import numpy as np
import pytest
import torch

from striate.data.preprocessing import Preprocessing
from striate.errors import UsageError
from striate.evaluation import least_sure, make_views, view_logits
from striate.model import Model
from striate.nets import parse_net


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = parse_net("conv3-4 relu fc-3")
    preprocessing = Preprocessing(size=(32, 32), channels=3)
    return Model(net, net.build((32, 32, 3)), ("a", "b", "c"), preprocessing)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_one_view_is_the_image(images):
    assert [np.array_equal(view, images) for view in make_views(images, 1)] == [True]


def test_the_second_view_is_the_mirror_image(images):
    first, second = make_views(images, 2)
    assert np.array_equal(first, images)
    assert np.array_equal(second, images[:, :, ::-1])


def test_ten_views_are_five_crops_of_the_image_with_a_border_and_their_mirrors(images):
    views = list(make_views(images, 10))
    # Two pixels beyond the border are the second and third row inside it.
    rows = np.r_[2, 1, 0:32, 30, 29]
    bordered = images[:, rows][:, :, rows]
    for place, (top, left) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]):
        crop = bordered[:, top : top + 32, left : left + 32]
        assert np.array_equal(views[2 * place], crop)
        assert np.array_equal(views[2 * place + 1], crop[:, :, ::-1])
    assert np.array_equal(views[8], images)


def test_six_views_are_the_image_and_two_moved_by_a_pixel_and_their_mirrors(images):
    views = list(make_views(images, 6))
    assert np.array_equal(views[0], images)
    assert np.array_equal(views[2][:, 1:, 1:], images[:, :-1, :-1])
    assert np.array_equal(views[2][:, 0, 1:], images[:, 1, :-1])  # reflected
    assert np.array_equal(views[4][:, :-1, :-1], images[:, 1:, 1:])
    assert all(np.array_equal(views[k + 1], views[k][:, :, ::-1]) for k in (0, 2, 4))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 40), (224, 224)])
def test_views_keep_any_size(size):
    images = np.zeros((2, *size, 1), dtype=np.uint8)
    assert [view.shape for view in make_views(images, 10)] == [images.shape] * 10


@pytest.mark.parametrize("views", [1, 2, 6, 10])
def test_logits_are_averaged_over_the_views(model, images, views):
    expected = np.mean([model.logits(view.copy()) for view in make_views(images, views)], axis=0)
    np.testing.assert_allclose(view_logits(model, images, views=views), expected, atol=1e-6)


def test_mirrored_images_have_the_same_logits_under_two_views(model, images):
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    np.testing.assert_array_equal(
        view_logits(model, images, views=2), view_logits(model, mirrored, views=2)
    )


def test_chosen_images_come_in_their_order(model, images):
    whole = view_logits(model, images, views=2)
    chosen = view_logits(model, images, views=2, indices=np.array([3, 0, 3]))
    np.testing.assert_allclose(chosen, whole[[3, 0, 3]], atol=1e-6)


def test_many_images_go_through_in_parts(model, images, tmp_path):
    many = np.tile(images, (300, 1, 1, 1))
    np.testing.assert_allclose(
        view_logits(model, many, views=1), np.tile(view_logits(model, images), (300, 1)), atol=1e-5
    )


def test_other_counts_are_refused(model, images):
    with pytest.raises(UsageError, match=r"3 views \(choose 1, 2, 6, 10\)"):
        view_logits(model, images, views=3)


def test_the_least_sure_are_those_with_the_nearest_two_best():
    logits = np.array([[9, 0, 8], [0, 5, -5], [2, 2, 2], [-1, -4, -7]], np.float32)  # 1, 5, 0, 3
    assert [least_sure(logits, share).tolist() for share in (0.1, 0.5, 0.75, 1)] == [
        [2], [0, 2], [0, 2, 3], [0, 1, 2, 3],
    ]  # fmt: skip
    assert len(least_sure(np.ones((10_000, 2), np.float32), 0.07)) == 700


@pytest.mark.parametrize("views", [2, 6, 10])
def test_only_the_unsure_are_seen_in_all_views(model, images, views):
    many = np.concatenate([images, images[:, ::-1]])
    indices = np.array([9, 2, 4, 0, 7, 5])
    once, often = (view_logits(model, many, views=v, indices=indices) for v in (1, views))
    found = view_logits(model, many, views=views, unsure=0.34, indices=indices)
    unsure = least_sure(once, 0.34)
    assert len(unsure) == 3
    np.testing.assert_allclose(found[unsure], often[unsure], atol=1e-6)
    sure = np.setdiff1d(np.arange(6), unsure)
    np.testing.assert_allclose(found[sure], once[sure], atol=1e-6)
    assert np.abs(once - often).max() > 1e-3


def test_a_share_of_one_view_is_refused(model, images):
    with pytest.raises(UsageError, match=r"one view \(choose 2, 6, 10 views\)"):
        view_logits(model, images, unsure=0.5)


@pytest.mark.parametrize("unsure", [0, -0.1, 1.01, float("nan")])
def test_other_shares_are_refused(model, images, unsure):
    with pytest.raises(UsageError, match=r"unsure images \(choose above 0, up to 1\)"):
        view_logits(model, images, views=2, unsure=unsure)
