"""`striate filter`: the picture it writes, and what it says."""

import json

import numpy as np
import pytest
from PIL import Image

from striate.cli import run


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A picture in a folder beside the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def document(capsys, *arguments):
    assert run(["filter", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_json_document(photo, capsys):
    found = document(
        capsys, photo, "--kernel", "edge2", "--stride", "2x1", "--padding", "0x1", "--flip"
    )
    assert list(found) == [
        "image", "kernel", "flip", "stride", "padding", "input", "output", "minimum", "maximum",
        "show", "clipped", "path",
    ]  # fmt: skip
    assert found["kernel"] == {"name": "edge2", "values": [[0, 1, 0], [1, -4, 1], [0, 1, 0]]}
    assert (found["input"], found["output"]) == ([24, 32, 3], [11, 32, 3])
    assert (found["stride"], found["padding"], found["flip"]) == ([2, 1], [[0, 0], [1, 1]], True)
    assert found["minimum"] < 0 < found["maximum"]
    assert found["show"] == "absolute"
    assert found["path"] == "photo-edge2.png"
    with Image.open("photo-edge2.png") as picture:
        assert picture.size == (32, 11)


def test_the_text_tells_what_was_done(photo, capsys):
    assert run(["filter", str(photo), "--kernel", "sharpen", "--flip"]) == 0
    out = capsys.readouterr().out
    assert "sharpen 3x3, turned by half a turn (which leaves this kernel as it is)" in out
    assert "24x32x3 -> 24x32x3" in out
    assert "shown by clip, " in out
    assert "of it beyond the range" in out
    assert "photo-sharpen.png" in out


def test_a_name_of_its_own_never_replaces(photo, capsys):
    for name in ("photo-box.png", "photo-box-2.png", "photo-box-3.png"):
        assert document(capsys, photo, "--kernel", "box")["path"] == name


def test_a_given_name_is_replaced_and_it_says_so(photo, capsys):
    arguments = ["filter", str(photo), "--kernel", "box", "--out", "a.png"]
    assert run(arguments) == 0
    assert "replaced" not in capsys.readouterr().out
    assert run(arguments) == 0
    assert "a.png (replaced)" in capsys.readouterr().out


def test_options_reach_the_kernel(photo, capsys):
    found = document(
        capsys, photo, "--kernel", "gabor", "--size", "5x7", "--sigma", "2", "--angle", "90",
        "--wavelength", "4", "--grey", "--show", "stretch",
    )  # fmt: skip
    values = np.array(found["kernel"]["values"])
    assert values.shape == (5, 7)
    assert values[0, 3] / values[2, 3] == pytest.approx(-np.exp(-0.5))  # half a wave upwards
    assert found["output"] == [24, 32, 1]
    assert found["show"] == "stretch"


def test_a_kernel_from_a_file(photo, tmp_path, capsys):
    path = tmp_path / "sobel.txt"
    path.write_text("1 0 -1\n2 0 -2\n1 0 -1\n/4\n")
    found = document(capsys, photo, "--kernel", path)
    assert found["kernel"] == {
        "name": "sobel",
        "values": [[0.25, 0, -0.25], [0.5, 0, -0.5], [0.25, 0, -0.25]],
    }
    assert (found["path"], found["show"]) == ("photo-sobel.png", "absolute")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--kernel", "edge1", "--sigma", "2"], 2, "edge1 reads no sigma"),
        (["--kernel", "edgy"], 2, "edgy: neither a kernel nor a file (did you mean"),
        (["--kernel", "box", "--size", "3x"], 2, "--size '3x' is no size"),
        (["--kernel", "box", "--stride", "a"], 2, "--stride 'a' is no size"),
        (["--kernel", "box", "--padding", "full"], 2, "--padding 'full' is no size"),
        (["--kernel", "box", "--show", "loud"], 2, "`loud` is no way to show responses"),
        (["--kernel", "box", "--out", "a.jpg"], 2, "the picture is written as PNG"),
        (["--kernel", "box", "--out", "../photo.png"], 2, "it is the image itself"),
        (["--kernel", "box", "--out", "no/a.png"], 6, "no/a.png: cannot be written"),
        ([], 2, "Missing option '--kernel'"),
    ],
)
def test_errors_are_one_line(photo, capsys, arguments, status, message):
    assert run(["filter", str(photo), *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_is_no_picture(photo, tmp_path, capsys):
    (tmp_path / "here" / "f.png").mkdir()
    assert run(["filter", str(photo), "--kernel", "box", "--out", "f.png"]) == 2
    assert "it is a folder" in capsys.readouterr().err


def test_a_file_that_is_no_image_is_a_data_error(tmp_path, capsys):
    (tmp_path / "a.jpg").write_text("hello")
    assert run(["filter", str(tmp_path / "a.jpg"), "--kernel", "box", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "data"
