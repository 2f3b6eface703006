import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli import run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def striate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: status, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("[red]cats", "dogs"):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


def test_a_sound_folder(striate: Run, photos: Path) -> None:
    status, out, _ = striate("check", photos)
    assert status == 0
    assert "60 colour images of 2 classes, brought to 20 x 20" in out
    assert "[red]cats" in out
    assert "no problems found" in out


def test_problems_are_shown_by_kind(striate: Run, photos: Path) -> None:
    for number in range(8):
        source = photos / "dogs" / f"{number:02}.png"
        for copy in range(4 if number == 0 else 1):
            shutil.copy(source, photos / "dogs" / f"copy{number}-{copy}.png")
    status, out, _ = striate("check", photos)
    assert status == 0
    assert "duplicate  8" in out
    assert "5 files hold the same image  dogs/00.png, dogs/copy0-0.png, dogs/copy0-1.png" in out
    assert "... 2 more" in out
    assert "... 3 more (--json lists all)" in out


def test_the_document(striate: Run, photos: Path) -> None:
    (photos / "dogs" / "bad.jpg").write_text("text")
    status, out, _ = striate("check", photos, "--json")
    document = json.loads(out)
    assert status == 0
    assert document == {
        "images": 60,
        "classes": {"[red]cats": 30, "dogs": 30},
        "problems": [{"kind": "unreadable", "paths": ["dogs/bad.jpg"], "message": "it is text"}],
    }


def test_a_split_is_told(striate: Run, photos: Path, tmp_path: Path) -> None:
    rows = [
        f"{path.relative_to(photos)},{path.parent.name},{'test' if place % 5 == 0 else 'train'}"
        for place, path in enumerate(sorted(photos.glob("*/*.png")))
    ]
    (photos / "labels.csv").write_text("\n".join(("path,label,split", *rows)))
    _, out, _ = striate("check", photos / "labels.csv")
    assert "the source splits them: 48 train, 12 test" in out


def test_links_out_of_the_folder(striate: Run, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "real")
    photos.mkdir()
    for path in (tmp_path / "real").iterdir():
        (photos / path.name).symlink_to(path)
    status, out, error = striate("check", photos)
    assert status == 3
    assert error.count("\n") == 1
    status, out, _ = striate("check", photos, "--follow-links")
    assert status == 0
    assert "60 colour images" in out


def test_errors_are_one_line_or_one_document(striate: Run, tmp_path: Path) -> None:
    status, out, error = striate("check", tmp_path / "nowhere")
    assert (status, out) == (3, "")
    assert error.count("\n") == 1
    status, out, _ = striate("check", tmp_path / "nowhere", "--json")
    assert status == 3
    assert json.loads(out)["error"]["kind"] == "data"
