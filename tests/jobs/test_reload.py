"""The data of a run are found again, with the pixels that the run saw, however they were given."""

import numpy as np
import pytest
from PIL import Image

import striate
from striate.cli import run as command
from striate.data import load_data
from striate.errors import CheckpointError
from striate.jobs.report import rebuild_report
from striate.jobs.resume import resume
from striate.training.folder import read_run

BLACK = {"size": 12, "resize": "pad", "background": (0, 0, 0)}


@pytest.fixture
def glass(tmp_path, cache):
    """A folder with twelve pictures a class, transparent in half of their pixels."""
    generator = np.random.default_rng(0)
    for place, name in enumerate(("ash", "oak")):
        folder = tmp_path / "glass" / name
        folder.mkdir(parents=True)
        for number in range(12):
            picture = generator.integers(0, 256, (16, 24, 4), np.uint8)
            picture[..., 3] = 255 * (np.arange(24) % 2)
            picture[..., place] |= 128
            Image.fromarray(picture).save(folder / f"{number}.png")
    return tmp_path / "glass"


@pytest.fixture
def linked(glass, tmp_path):
    """The same folder, and a class that a link leads out to."""
    outside = tmp_path / "elsewhere"
    (glass / "oak").rename(outside)
    (glass / "oak").symlink_to(outside)
    for name in ("ash", "beech"):
        (glass / name).mkdir(exist_ok=True)
    for path in (glass / "ash").iterdir():
        turned = Image.open(path).rotate(180)
        turned.save(glass / "beech" / path.name)
    return glass


def assert_found_again(run):
    assert striate.evaluate(run.path).to_json() == run.test
    written = (run.path / "report.html").read_bytes()
    assert rebuild_report(run.path).read_bytes() == written
    assert resume(run.path).test == run.test


@pytest.mark.parametrize("source", ["digits", "glass"])
def test_loaded_data_are_found_again_by_what_they_were_loaded_from(source, glass, train_tiny):
    data = load_data(source) if source == "digits" else load_data(glass, **BLACK)
    run = train_tiny(data=data, epochs=1)
    where = "digits" if source == "digits" else str(glass)
    assert read_run(run.path)["data"]["source"] == where
    assert_found_again(run)


def test_a_relative_path_is_found_from_another_folder(glass, train_tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(glass.parent)
    run = train_tiny(data=load_data("glass", size=8), epochs=1)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert_found_again(run)


def test_the_background_is_a_setting_that_is_kept(glass, train_tiny):
    run = train_tiny(data=glass, epochs=1, data__size=12, data__background="[0, 0, 0]")
    assert read_run(run.path)["recipe"]["data"]["background"] == [0, 0, 0]
    assert striate.load_model(run.path).preprocessing.background == (0, 0, 0)
    assert_found_again(run)


@pytest.mark.parametrize("other", [{"background": (9, 9, 9)}, {"resize": "squash"}])
def test_other_pixels_of_the_same_files_are_another_run(other, glass, train_tiny):
    run = train_tiny(data=load_data(glass, **BLACK), epochs=1)
    with pytest.raises(CheckpointError, match="belongs to another run: pixels"):
        resume(run.path, data=load_data(glass, **{**BLACK, **other}))


def test_data_that_were_scaled_twice_are_not_looked_for(glass):
    data = load_data(glass, size=12)
    assert data.origin is not None
    assert data.origin.size == 12
    assert load_data(data, size=8).origin is None


def test_links_are_followed_where_that_is_asked_for(linked, tmp_path, capsys):
    words = ["train", str(linked), "--net", "fc-3", "--epochs", "1", "--size", "8"]
    out = tmp_path / "run"
    assert command([*words, "--out", str(out), "--follow-links"]) == 0
    assert read_run(out)["data"]["classes"] == ["ash", "beech", "oak"]
    assert command(["evaluate", str(out)]) == 0
    assert command(["evaluate", str(out), str(linked), "--follow-links"]) == 0
    assert "36 images" in capsys.readouterr().out
    assert command(["evaluate", str(out), str(linked)]) == 0
    assert "24 images" in capsys.readouterr().out
