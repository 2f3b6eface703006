"""`striate report RUN`, from Python and from the command line."""

import json
from pathlib import Path

import pytest

from striate.cli import run
from striate.errors import DataError, ModelError, UsageError
from striate.jobs.report import rebuild_report


@pytest.fixture
def finished(trained) -> Path:
    """A run folder as a training leaves it, its data to be found again."""
    path = trained.path.parent / "data.npz"
    import numpy as np

    data = trained.data
    np.savez(path, images=data.images, labels=data.labels)
    document = trained.read("run.json")
    document["data"] |= {"source": str(path), "manifest_hash": data.manifest_hash}
    trained.write("run.json", document)
    trained.model.save(trained.path / "model.safetensors")
    return trained.path


def test_a_report_is_made_again_from_the_run_alone(finished: Path) -> None:
    seen = []
    written = rebuild_report(finished, progress=lambda done, total: seen.append((done, total)))
    assert written == finished / "report.html"
    assert "<h1>Right" in written.read_text()


def test_data_that_are_given_are_not_looked_for(finished: Path, trained) -> None:
    (finished.parent / "data.npz").unlink()
    with pytest.raises(DataError):
        rebuild_report(finished)
    assert 'class="pixels"' in rebuild_report(finished, data=trained.data).read_text()


def test_arrays_must_be_given_again(finished: Path, trained) -> None:
    document = trained.read("run.json")
    document["data"]["source"] = None
    trained.write("run.json", document)
    with pytest.raises(UsageError, match="trained on arrays"):
        rebuild_report(finished)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        rebuild_report(tmp_path)


def test_a_run_without_its_recipe_is_refused(finished: Path, trained) -> None:
    document = trained.read("run.json")
    del document["recipe"]
    trained.write("run.json", document)
    with pytest.raises(ModelError, match="recipe"):
        rebuild_report(finished)


def test_the_command_prints_the_path(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(finished)]) == 0
    assert capsys.readouterr().out.strip() == str(finished / "report.html")
    assert run(["report", str(finished), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"run": str(finished), "report": str(finished / "report.html")}


def test_the_command_fails_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "is no run folder" in line
