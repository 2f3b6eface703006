"""Kernels over images: against the lectures, the reference and PyTorch; and how they are shown."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import striate
from striate.errors import DataError, UsageError
from striate.explanation import filter_image
from striate.reference.convolution import convolve, correlate

# Deck 000, "Convolutional Filters".
DECK_IMAGE = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 2, 2, 1, 0],
        [0, 2, 4, 4, 2, 0],
        [0, 1, 3, 3, 1, 0],
        [0, 1, 2, 3, 1, 0],
        [0, 0, 1, 1, 0, 0],
    ],
    np.uint8,
)


def responses(image, kernel, **options):
    return filter_image(image, np.array(kernel), **options).responses[:, :, 0].tolist()


def test_the_edges_of_the_deck():
    found = filter_image(DECK_IMAGE, "edge2", padding=0).responses[:, :, 0].tolist()
    # The deck prints 3 for the last number of row 3: 3 - 4*1 + 2 + 1 = 2.
    assert found == [[0, -1, -1, 0], [-2, -5, -5, -2], [2, -2, -1, 2], [-1, 0, -5, 0]]


def test_padding_keeps_the_size_of_the_deck_s_image():
    same = filter_image(DECK_IMAGE, "edge2").responses
    assert same.shape == (6, 6, 1)
    assert np.array_equal(same, filter_image(DECK_IMAGE, "edge2", padding=1).responses)
    assert np.array_equal(same[1:-1, 1:-1], filter_image(DECK_IMAGE, "edge2", padding=0).responses)


def test_the_stride_of_the_deck():
    found = responses(DECK_IMAGE, [[0, 1], [1, -2]], stride=2, padding=0)
    assert found == [[-2, -2, 1], [0, 1, 1], [1, 2, 0]]


def test_the_five_by_five_image_of_deck_002():
    image = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    cross = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert responses(np.array(image), cross, padding=0) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_flip_is_the_convolution_of_signal_processing():
    impulse = np.zeros((5, 5), np.uint8)
    impulse[2, 2] = 1
    kernel = np.arange(1.0, 10).reshape(3, 3)
    found = filter_image(impulse, kernel, flip=True).responses[1:-1, 1:-1, 0]
    assert np.array_equal(found, kernel)  # an impulse copies the kernel
    turned = filter_image(impulse, kernel).responses[1:-1, 1:-1, 0]
    assert np.array_equal(turned, kernel[::-1, ::-1])


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None)
@given(st.data())
def test_it_is_the_convolution_of_the_reference(data):
    numbers = st.integers(-9, 9).map(float)
    height, width = data.draw(st.tuples(st.integers(3, 9), st.integers(3, 9)))
    image = data.draw(arrays(np.float64, (height, width), elements=numbers))
    kernel = data.draw(arrays(np.float64, data.draw(pairs), elements=numbers))
    stride, padding = data.draw(pairs), data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    flip = data.draw(st.booleans())
    expected = (convolve if flip else correlate)(image, kernel, stride=stride, padding=padding)
    found = filter_image(image, kernel, stride=stride, padding=padding, flip=flip)
    assert found.responses.dtype == np.float64
    assert np.allclose(found.responses[:, :, 0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(3, 4), (13, 11)], ids=["summed", "transformed"])
@pytest.mark.parametrize("stride", [1, (3, 2)], ids=str)
@pytest.mark.parametrize("padding", ["same", (0, 5)], ids=str)
def test_large_images_in_strips_equal_pytorch(shape, stride, padding):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (1201, 130, 3), dtype=np.uint8)
    kernel = generator.normal(size=shape)
    found = filter_image(image, kernel, stride=stride, padding=padding)
    (top, bottom), (left, right) = found.padding
    planes = torch.from_numpy(image).permute(2, 0, 1)[:, None].double()
    planes = torch.nn.functional.pad(planes, (left, right, top, bottom))
    weights = torch.from_numpy(kernel)[None, None]
    expected = torch.nn.functional.conv2d(planes, weights, stride=stride)[:, 0].permute(1, 2, 0)
    assert found.responses.dtype == np.float32
    assert found.responses.shape == expected.shape
    assert np.allclose(found.responses, expected.numpy(), rtol=0, atol=0.02)
    exact = filter_image(image.astype(float), kernel, stride=stride, padding=padding)
    assert np.allclose(exact.responses, expected.numpy(), rtol=0, atol=1e-9)


def test_same_padding_of_an_even_kernel_keeps_the_size():
    found = filter_image(DECK_IMAGE, "box", size=(4, 2))
    assert found.responses.shape == (6, 6, 1)
    assert found.padding == ((1, 2), (0, 1))


def test_the_identity_gives_the_image_back():
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    filtered = filter_image(colours, "identity")
    assert np.array_equal(filtered.picture(), colours)
    assert filtered.clipped == 0


def test_a_blur_keeps_the_brightness():
    plain = np.full((60, 60, 3), 200, np.uint8)
    for kernel, options in (("box", {"size": 15}), ("gaussian", {}), ("gaussian", {"sigma": 3})):
        inner = filter_image(plain, kernel, padding=0, **options).picture()
        assert (inner == 200).all()


@pytest.mark.parametrize("kernel", ["edge1", "edge2", "edge3"])
def test_edges_see_nothing_on_a_plain_ground(kernel):
    plain = np.full((9, 9), 77, np.uint8)
    assert not filter_image(plain, kernel, padding=0).picture().any()


def shown(values, show):
    image = np.array([values], float)
    return filter_image(image, "identity", show=show).picture()[0, :, 0].tolist()


def test_responses_become_grey_levels():
    values = [-300.0, -100.0, 0.0, 99.5, 300.0]
    assert shown(values, "clip") == [0, 0, 0, 100, 255]
    assert shown(values, "absolute") == [255, 100, 0, 100, 255]
    assert shown(values, "centred") == [0, 85, 128, 170, 255]
    assert shown([-100.0, 0.0, 300.0], "stretch") == [0, 64, 255]
    assert shown([-100.0, 0.0, 50.0], "centred") == [0, 128, 191]


def test_nothing_to_show_is_no_error():
    assert shown([0.0, 0.0], "centred") == [128, 128]
    assert shown([7.0, 7.0], "stretch") == [0, 0]


def test_the_share_that_cannot_be_shown_is_told():
    image = np.array([[-300.0, -100, 0, 300]])
    found = {
        show: filter_image(image, "identity", show=show).clipped
        for show in ("clip", "absolute", "centred", "stretch")
    }
    assert found == {"clip": 0.75, "absolute": 0.5, "centred": 0, "stretch": 0}


def test_the_file_is_turned_upright_and_keeps_its_size(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[274] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    filtered = filter_image(tmp_path / "turned.png", "identity")
    assert filtered.input == (60, 40, 3)
    assert (filtered.picture()[:, -10:] == 255).all()
    assert not filtered.picture()[:, :-10].any()


def test_grey_is_the_brightness(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    for image in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), colours):
        found = filter_image(image, "identity", grey=True).responses
        assert np.array_equal(found[:, :, 0], expected)
    close = filter_image(colours / 255, "identity", grey=True).responses[:, :, 0]
    assert np.allclose(close * 255, expected, atol=1.01)


def test_a_grey_file_has_one_channel(tmp_path):
    Image.fromarray(DECK_IMAGE).save(tmp_path / "grey.png")
    filtered = filter_image(str(tmp_path / "grey.png"), "sharpen")
    assert filtered.input == (6, 6, 1)
    filtered.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as written:
        assert written.mode == "L"
        assert np.array_equal(np.asarray(written), filtered.picture()[:, :, 0])


def test_the_public_name_is_the_same():
    assert striate.filter_image is filter_image


@pytest.mark.parametrize(
    ("image", "kernel", "options", "error", "message"),
    [
        (DECK_IMAGE, "box", {"size": 9, "padding": 0}, UsageError, "9 high does not fit .* 6 high"),
        (DECK_IMAGE, "box", {"size": (3, 9), "padding": 1}, UsageError, "9 wide .* 2 rows or col"),
        (DECK_IMAGE, "edge1", {"stride": 0}, UsageError, "stride 0x0 is out of range"),
        (DECK_IMAGE, "edge1", {"stride": (1, 2, 3)}, UsageError, "stride 1x2x3"),
        (DECK_IMAGE, "edge1", {"padding": -1}, UsageError, "padding -1x-1 is out of range"),
        (DECK_IMAGE, "edge1", {"padding": "full"}, UsageError, "padding `full` .same, a number"),
        (DECK_IMAGE, "edge1", {"show": "loud"}, UsageError, "`loud` is no way to show"),
        (DECK_IMAGE, np.eye(3), {"size": 3}, UsageError, "only kernels of the gallery read size"),
        (np.zeros((2, 2, 2, 2)), "edge1", {}, DataError, r"shape \(2, 2, 2, 2\)"),
        (np.zeros((0, 5)), "edge1", {}, DataError, r"shape \(0, 5\)"),
        (np.array([["a"]]), "edge1", {}, DataError, "is no image"),
        (np.array([[np.inf]]), "edge1", {}, DataError, "not finite"),
        (np.broadcast_to(np.uint8(0), (10**4, 10**4)), "edge1", {}, DataError, "50 million"),
        (b"no image", "edge1", {}, DataError, "it is text"),
        ("nowhere.jpg", "edge1", {}, DataError, "nowhere.jpg: the file is not there"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error(image, kernel, options, error, message):
    with pytest.raises(error, match=message):
        filter_image(image, kernel, **options)
