"""The gallery of the lectures, and kernels from files."""

import numpy as np
import pytest

from striate.errors import UsageError
from striate.explanation.kernels import KERNELS, kernel_of, make_kernel, read_kernel

# Decks 000 and 002, "Convolutional Filters" and "Convolution of images".
PRINTED = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "edge1": [[1, 0, -1], [0, 0, 0], [-1, 0, 1]],
    "edge2": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "edge3": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "box": np.full((3, 3), 1 / 9),
    "gaussian": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_kernel_is_the_printed_one(name):
    assert np.array_equal(make_kernel(name).values, PRINTED[name])


def test_the_gallery_is_the_printed_one_and_gabor():
    assert (*PRINTED, "gabor") == KERNELS


def test_a_box_is_as_large_as_asked():
    kernel = make_kernel("box", size=(5, 2))
    assert kernel.size == (5, 2)
    assert np.allclose(kernel.values, 0.1)


def test_a_larger_gaussian_has_the_binomial_numbers():
    row = np.array([1, 4, 6, 4, 1]) / 16
    assert np.allclose(make_kernel("gaussian", size=5).values, np.outer(row, row))


def test_a_gaussian_of_a_deviation_has_it():
    kernel = make_kernel("gaussian", sigma=2.5)
    assert kernel.size == (17, 17)
    assert kernel.values.sum() == pytest.approx(1)
    places = np.arange(17) - 8
    spread = (kernel.values.sum(axis=0) * places**2).sum()
    assert spread == pytest.approx(2.5**2, rel=0.02)  # the tails beyond three deviations are cut
    assert make_kernel("gaussian", sigma=2.5, size=5).size == (5, 5)


def test_gabor_is_its_formula():
    kernel = make_kernel("gabor", size=7, sigma=2.0, angle=30, wavelength=5.0).values
    expected = np.empty((7, 7))
    for row in range(7):
        for column in range(7):
            x, y = column - 3, 3 - row
            along = x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6)
            expected[row, column] = np.exp(-(x * x + y * y) / 8) * np.cos(2 * np.pi * along / 5)
    assert np.allclose(kernel, expected / np.abs(expected).sum())


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 135])
def test_gabor_answers_most_to_a_wave_in_its_direction(angle):
    size = make_kernel("gabor").size[0]
    rows, columns = np.mgrid[:size, :size] - size // 2
    turns = np.radians([0, 30, 45, 90, 135])
    waves = [np.cos((columns * np.cos(t) - rows * np.sin(t)) * 2 * np.pi / 8) for t in turns]
    answers = [(make_kernel("gabor", angle=angle).values * wave).sum() for wave in waves]
    assert np.argmax(answers) == [0, 30, 45, 90, 135].index(angle)


def test_half_a_turn_shows_in_symmetric():
    assert make_kernel("edge1").symmetric
    assert not kernel_of([[1, 0], [0, 0]]).symmetric


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("edge1", {"size": 3}, r"edge1 reads no size \(read by box, gaussian, gabor\)"),
        ("box", {"sigma": 1.0}, r"box reads no sigma \(read by gaussian, gabor\)"),
        ("gaussian", {"angle": 1.0}, r"gaussian reads no angle \(read by gabor\)"),
        ("identity", {"wavelength": 4.0}, "identity reads no wavelength"),
        ("box", {"tone": 4.0}, "a kernel has no tone"),
        ("edge4", {}, r"no kernel `edge4` \(did you mean edge3"),
        ("xyzzy", {}, r"kernels: identity, edge1"),
        ("box", {"size": 0}, "size 0x0 is out of range"),
        ("box", {"size": (3, 256)}, "size 3x256 is out of range .*from 1 to 255"),
        ("box", {"size": (3, 3, 3)}, "size 3x3x3 is out of range"),
        ("gaussian", {"sigma": 0.0}, r"sigma 0 is out of range \(0.1 to 42.0 pixels"),
        ("gaussian", {"sigma": float("nan")}, "sigma nan is out of range"),
        ("gabor", {"wavelength": 1.0}, "wavelength 1 is out of range"),
        ("gabor", {"angle": float("inf")}, "angle inf is out of range"),
    ],
)
def test_a_wrong_option_is_an_error(name, options, message):
    with pytest.raises(UsageError, match=message):
        make_kernel(name, **options)


def test_the_largest_kernels_are_within_the_limit():
    assert make_kernel("gaussian", sigma=42.0).size == (253, 253)
    assert make_kernel("gabor", wavelength=74.0).size == (251, 251)


@pytest.mark.parametrize(
    ("values", "show"),
    [
        ([[0.25, 0.25], [0.25, 0.25]], "clip"),
        ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "absolute"),
        ([[0.1, -0.1, 0.3, -0.3]], "absolute"),
        ([[1, 0, 1], [0, 1, 0], [1, 0, 1]], "stretch"),
    ],
)
def test_numbers_tell_how_to_show_the_responses(values, show):
    assert kernel_of(values).show == show


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], r"shape \(3,\)"),
        (np.zeros((256, 1)), r"shape \(256, 1\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        ([[1, 2], [3]], "rows of as many numbers each"),
        ([["a"]], "rows of as many numbers each"),
        ([[np.nan]], "must be finite"),
        ([[1e7]], r"at most 1e\+06"),
    ],
)
def test_wrong_numbers_are_an_error(values, message):
    with pytest.raises(UsageError, match=message):
        kernel_of(values)


def written(tmp_path, text):
    path = tmp_path / "mine.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1 2 1\n2 4 2\n1 2 1\n/16\n",
        "1,2,1\r\n2, 4, 2\r\n1 ,2 ,1\r\n/ 16",
        "\ufeff# the lectures' blur\n\n 1\t2 1 # above\n2 4 2\n1 2 1\n\n/1.6e1\n",
        "0.0625 0.125 0.0625\n.125 .25 .125\n6.25e-2 0.125 0.0625",
    ],
)
def test_a_file_is_read(tmp_path, text):
    kernel = read_kernel(written(tmp_path, text))
    assert kernel.name == "mine"
    assert kernel.show == "clip"
    assert np.array_equal(kernel.values, make_kernel("gaussian").values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 x\n", r"mine.txt, line 2: `x` is not a number"),
        ("1 nan", r"line 1: `nan` is not a number"),
        ("1 2\n\n# no\n3\n", r"line 4: 1 numbers, where the first row has 2"),
        ("1 2\n/0\n", r"line 2: a divisor of 0"),
        ("1 2\n/\n", r"line 2: `` is not a number"),
        ("1 2\n/2\n3 4\n", r"line 3: a row after the divisor"),
        ("# nothing\n", r"mine.txt: no numbers in it"),
        ("1\n" * 256, r"mine.txt: a kernel of shape \(256, 1\)"),
        ("1e9", r"mine.txt: a kernel's weights must be finite"),
        ("1\n/1e-320", r"mine.txt: a kernel's weights must be finite"),
        (b"\xff\xfe1", "mine.txt: not a text in UTF-8"),
        ("1 " * 2**20 + "1", "mine.txt: too long for a kernel"),
    ],
)
def test_a_wrong_file_names_its_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_kernel(written(tmp_path, text))


def test_what_is_no_file_may_be_a_misspelt_name(tmp_path):
    with pytest.raises(UsageError, match=r"edge5: neither a kernel nor a file \(did you mean"):
        read_kernel("edge5")
    with pytest.raises(UsageError, match="neither a kernel nor a file"):
        read_kernel(tmp_path)
    with pytest.raises(UsageError, match="neither a kernel nor a file|cannot be read"):
        read_kernel("a\0b")
