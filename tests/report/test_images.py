"""Thumbnails, galleries, the confusion matrix and the first filters."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import Data
from striate.nets import parse_net
from striate.report.confusion import (
    MOST_CLASSES,
    confusion_matrix,
    describe_matrix,
    shade,
    shown_classes,
)
from striate.report.facts import Confusion, most_confused
from striate.report.files import read_files
from striate.report.filters import MOST_FILTERS, filter_picture, first_filters
from striate.report.gallery import SHOWN, Curator
from striate.report.thumbnails import Thumbnails, make_thumbnail


def decoded(uri: str) -> np.ndarray:
    kind, text = uri.split(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_is_kept_pixel_by_pixel(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 30, channels), dtype=np.uint8)
    thumbnail = make_thumbnail(image)
    assert np.array_equal(decoded(thumbnail.uri).reshape(image.shape), image)
    assert (thumbnail.width, thumbnail.height, thumbnail.pixelated) == (90, 84, True)


def test_a_large_image_is_scaled_down() -> None:
    thumbnail = make_thumbnail(np.full((200, 400, 3), 77, np.uint8))
    assert decoded(thumbnail.uri).shape == (80, 160, 3)
    assert (thumbnail.width, thumbnail.height, thumbnail.pixelated) == (96, 48, False)


def test_thumbnails_stop_at_the_budget() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    data = Data.from_arrays(images, np.arange(50) % 2)
    thumbnails = Thumbnails(data, budget=20_000)
    made = [thumbnail for at in range(50) if (thumbnail := thumbnails.of(at))]
    assert 0 < len(made) < 50
    assert sum(len(thumbnail.uri) for thumbnail in made) <= 20_000


@pytest.mark.parametrize("index", [-1, 10**9])
def test_an_image_that_is_not_there_has_no_thumbnail(trained, index: int) -> None:
    assert Thumbnails(trained.data, budget=10**6).of(index) is None
    assert Thumbnails(None, budget=10**6).of(0) is None


@pytest.fixture
def curator(trained) -> Curator:
    files = read_files(trained.path)
    return Curator(files.predictions, trained.data.classes, Thumbnails(trained.data, budget=10**6))


def test_the_worst_mistakes_have_the_highest_loss(curator) -> None:
    gallery = curator.worst()
    losses = [float(exhibit.loss) for exhibit in gallery.exhibits]
    assert losses == sorted(losses, reverse=True)
    assert not any(exhibit.right for exhibit in gallery.exhibits)
    assert gallery.total == curator.predictions.wrong.sum()


def test_the_least_and_the_most_sure(curator, trained) -> None:
    least, most = curator.least_sure().exhibits, curator.most_sure().exhibits
    assert len(least) == len(most) == SHOWN
    shares = curator.predictions.probability
    assert least[0].line == curator.predictions.lines[shares.argmin()]
    assert most[0].line == curator.predictions.lines[shares.argmax()]
    lines = (trained.path / "predictions.csv").read_text().splitlines()
    index, name, *_ = lines[most[0].line - 1].split(",")
    assert name == most[0].name
    shown = decoded(most[0].thumbnail.uri)
    assert np.array_equal(shown, trained.data.images[int(index), :, :, 0])


def test_every_cell_opens_the_images_it_counts(curator, trained) -> None:
    files = read_files(trained.path)
    matrix = confusion_matrix(files.scores, most_confused(files.scores), curator)
    panels = {panel.key: panel for panel in matrix.panels}
    for row in matrix.rows:
        assert sum(cell.count for cell in row.cells) == row.support
        for cell in row.cells:
            assert bool(cell.key) == bool(cell.count)
            if cell.key:
                assert panels[cell.key].total == cell.count
                assert len(panels[cell.key].exhibits) == min(cell.count, 12)
                assert {e.right for e in panels[cell.key].exhibits} == {cell.right}
    assert all(pair.key in panels for pair in matrix.pairs)
    assert describe_matrix(matrix) == ""


def test_of_many_classes_the_most_confused_are_shown() -> None:
    pairs = [
        Confusion(true=at, predicted=at + 1, count=99 - at, support=100) for at in range(60, 99)
    ]
    shown = shown_classes(100, pairs)
    assert len(shown) == MOST_CLASSES
    assert {60, 61, 62} <= set(shown)
    assert shown == sorted(shown)
    assert shown_classes(100, []) == list(range(MOST_CLASSES))


def test_a_single_mistake_is_not_white() -> None:
    assert shade(0) == 0
    assert shade(1e-6) == 1
    assert shade(1) == 9
    assert [shade(share / 100) for share in range(101)] == sorted(
        shade(share / 100) for share in range(101)
    )


def test_the_kernels_of_the_first_convolution_are_shown() -> None:
    module = parse_net("conv5-140 relu gap fc-2").build((16, 16, 3))
    filters = first_filters(module, (16, 16, 3))
    assert filters.total == 140
    assert len(filters.pictures) == MOST_FILTERS
    assert decoded(filters.pictures[0]).shape == (5, 5, 3)
    assert filters.side % 5 == 0
    assert "stripes" in filters.explanation


def test_small_kernels_promise_less() -> None:
    module = parse_net("conv3-4 relu gap fc-2").build((16, 16, 1))
    assert "few pixels" in first_filters(module, (16, 16, 1)).explanation


def test_a_whitening_layer_is_explained() -> None:
    module = parse_net("whiten2 gelu conv3-8 gelu gap fc-2").build((8, 8, 3))
    filters = first_filters(module, (8, 8, 3))
    assert filters.total == 24
    assert "whiten" in filters.explanation
    assert filters.layer == "whiten1"


def test_the_weights_of_a_perceptron_are_laid_out_as_images() -> None:
    module = parse_net("fc-16 relu fc-10").build((28, 28, 1))
    filters = first_filters(module, (28, 28, 1))
    assert decoded(filters.pictures[0]).shape == (28, 28)
    assert "fully connected" in filters.explanation


def test_a_first_layer_on_something_else_is_not_shown() -> None:
    module = parse_net("local3-4 relu fc-2").build((6, 6, 1))
    assert first_filters(module, (6, 6, 1)) is None
    assert first_filters(torch.nn.Sequential(torch.nn.ReLU()), (6, 6, 1)) is None


def test_a_filter_is_grey_where_its_weight_is_zero() -> None:
    weights = np.array([[[0.0, 2.0], [-2.0, 1.0]]], dtype=np.float32)
    assert decoded(filter_picture(weights)).tolist() == [[128, 255], [0, 191]]
    assert decoded(filter_picture(np.zeros((1, 2, 2), np.float32))).tolist() == [[128, 128]] * 2
