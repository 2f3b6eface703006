"""The command line as a whole: statuses, one line an error, help, documents of errors."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli import COMMANDS, _show_warning, run
from striate.errors import StriateWarning

STRIATE = str(Path(sys.executable).parent / "striate")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Nothing is written outside the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


def pictures(folder, count, seed=0):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        picture = generator.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")


def one_class(tmp_path):
    pictures(tmp_path / "photos" / "cats", 4)
    return ["train", "photos"]


def text_named_jpg(tmp_path):
    pictures(tmp_path / "photos" / "cats", 4)
    pictures(tmp_path / "photos" / "dogs", 4, seed=1)
    (tmp_path / "photos" / "dogs" / "x.jpg").write_text("hello")
    return ["train", "photos"]


def pickled_model(tmp_path):
    pictures(tmp_path / "photos", 1)
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weights": 1}))
    return ["predict", "model.pt", "photos"]


ERRORS = [
    (["train", "digits", "--bogus"], 2, "usage", "No such option: --bogus"),
    (["train"], 2, "usage", "Missing argument"),
    (["train", "digits", "--epochs", "many"], 2, "usage", "'--epochs'"),
    (["trian", "digits"], 2, "usage", "No such command 'trian'"),
    (["train", "digits", "--set", "optimizer.lrr=1"], 2, "recipe", "did you mean optimizer.lr"),
    (["train", "digits", "--set", "optimizer.lr=-1"], 2, "recipe", "optimizer.lr should be"),
    (["train", "digits", "--set", "epochs"], 2, "usage", "is not NAME=VALUE"),
    (["train", "digits", "--set", "epochs=1", "--set", "epochs=2"], 2, "usage", "given twice"),
    (["train", "digits", "--epochs", "0"], 2, "recipe", "epochs should be"),
    (["train", "digits", "--validation", "1.5"], 2, "recipe", "data.validation should be"),
    (["train", "digits", "--time", "soon"], 2, "usage", "is no length of time"),
    (["train", "digits", "--recipe", "slow"], 2, "recipe", "the recipes are fast"),
    (["train", "digits", "--net", "conv3-4 mapxpool2 fc-10"], 2, "net", "did you mean maxpool2"),
    (["train", "digits", "--net", "conv11p0-4 fc-10"], 2, "net", "conv11p0"),
    (["train", "digits", "--device", "abacus"], 2, "usage", "unknown device"),
    (["train", "no-such-data"], 3, "data", "no such file, folder or data set"),
    (["resume", "nowhere"], 2, "usage", "is no run folder"),
    (["train", "digits", "--out", "/proc/x"], 6, "resources", "cannot be written"),
    (one_class, 3, "data", "at least two classes are needed"),
    (text_named_jpg, 3, "data", "x.jpg: it is text"),
    (pickled_model, 4, "model", "this is a pickle; Striate never opens one"),
]
NAMES = [e[0].__name__ if callable(e[0]) else " ".join(e[0]) for e in ERRORS]


@pytest.fixture(params=ERRORS, ids=NAMES)
def failing(request, tmp_path):
    arguments, *expected = request.param
    return arguments(tmp_path) if callable(arguments) else arguments, *expected


def test_an_error_is_one_line_with_the_designed_status(failing, capsys):
    arguments, status, kind, said = failing
    assert run(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("striate: ")
    assert said in err
    assert len(lines) == (3 if kind == "net" and "^" in err else 1)


def test_with_json_the_error_is_a_document_too(failing, capsys):
    arguments, status, kind, said = failing
    assert run([*arguments, "--json"]) == status
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"kind", "message", "path", "hint"}
    assert document["error"]["kind"] == kind
    assert said in str(list(document["error"].values()))
    assert err.startswith("striate: ")


def test_a_name_with_lines_and_controls_stays_on_one_line(capsys):
    assert run(["resume", "a\nb\x1b[2J"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "striate: a\\nb\\x1b[2J: is no run folder: it has no run.json"
    ]


def test_the_caret_stands_under_the_word(capsys):
    assert run(["train", "digits", "--net", "conv3-4 relu foo fc-10"]) == 2
    _, net, caret = capsys.readouterr().err.splitlines()
    assert net[caret.index("^") : caret.rindex("^") + 1] == "foo"


def test_debug_shows_where_it_came_from(capsys):
    assert run(["train", "no-such-data", "--debug"]) == 3
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "in load_requested" in err
    assert err.splitlines()[-1].startswith("striate: no-such-data: ")


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "striate: interrupted"),
        (MemoryError(), 6, "striate: out of memory (try a smaller batch_size, or --size)"),
        (PermissionError(13, "Permission denied", "x.npz"), 6, "striate: x.npz: Permission denied"),
        (OSError("odd"), 6, "striate: odd"),
    ],
)
def test_what_python_raises_is_one_line(raised, status, line, capsys, monkeypatch):
    def fail(_):
        raise raised

    monkeypatch.setattr("striate.cli._run_application", fail)
    assert run(["nets"]) == status
    assert capsys.readouterr().err.splitlines() == [line]


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    assert "--debug" in out


def test_no_arguments_show_the_help(capsys):
    assert run([]) == 2
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_json(name, capsys):
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert out.count(f"striate {name}") >= 2  # the usage, and an example


def test_a_warning_is_one_line(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        warnings.warn("views are mirrored", StriateWarning, stacklevel=1)
        warnings.warn("torch is old", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "striate: views are mirrored\n"


@pytest.mark.parametrize("arguments", [["nets"], ["nets", "--json"], ["datasets", "--json"]])
def test_a_reader_who_goes_away_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        command = [STRIATE, *arguments]
        made = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
