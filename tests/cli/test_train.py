"""`striate train` and `striate resume`: documents, progress, what reaches the recipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from striate.cli import run
from striate.cli.train import read_duration, read_settings
from striate.errors import UsageError
from striate.training.folder import read_run

STRIATE = str(Path(sys.executable).parent / "striate")
NET = "conv3-4 relu maxpool2 fc-3"
KEYS = [
    "run",
    "model",
    "report",
    "net",
    "epochs",
    "steps",
    "seconds",
    "images_per_second",
    "validation",
    "test",
    "stopped",
]


@pytest.fixture
def train(tiny_data, tmp_path, capsys):
    """Train on the tiny data; the status, standard output and standard error."""

    def call(*arguments, out="run"):
        words = ["train", str(tiny_data), "--net", NET, "--out", str(tmp_path / out), *arguments]
        status = run(words)
        return status, *capsys.readouterr()

    return call


def test_the_document_of_train_and_resume_is_locked(train, tmp_path, capsys):
    status, out, _ = train("--epochs", "2", "--json")
    assert status == 0
    document = json.loads(out)
    assert list(document) == KEYS
    assert document["run"] == str(tmp_path / "run")
    assert document["stopped"] == "finished"
    assert run(["resume", str(tmp_path / "run"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert list(again) == KEYS
    assert again == document


def test_off_a_terminal_progress_is_a_line_an_epoch_on_standard_error(train):
    _, out, err = train("--epochs", "3", "--json")
    assert len(out.splitlines()) == 1
    lines = [line for line in err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"epoch   {number}/3  loss ")
        assert "validation" in line
        assert line.endswith(" s")
    assert "\x1b" not in err
    assert "\r" not in err


def test_without_json_the_result_is_said_in_words(train, tmp_path):
    status, out, _ = train("--epochs", "1")
    assert status == 0
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "test accuracy",
        "validation accuracy",
        "training",
        "model",
        "report",
    ]
    assert "95 % interval" in lines[0]
    assert "1 epoch, " in lines[2]
    assert lines[3].endswith(str(tmp_path / "run" / "model.safetensors"))


def test_markup_in_a_path_and_a_long_path_stay_as_they_are(train, tmp_path):
    name = "[bold]" + "very long " * 12
    _, out, _ = train("--epochs", "1", out=name)
    assert str(tmp_path / name / "report.html") in out


def test_options_reach_the_recipe(train, tmp_path):
    options = ["--epochs", "2", "--time", "1h", "--validation", "0.2", "--test", "0.1"]
    options += ["--seed", "5", "--size", "10", "--set", "optimizer.lr=0.1"]
    status, *_ = train(*options, "--set", "augment.flip = none", "--recipe", "lecture")
    assert status == 0
    document = read_run(tmp_path / "run")
    recipe = document["recipe"]
    assert (recipe["epochs"], recipe["stop"]["seconds"]) == (2, 3600)
    assert (recipe["data"]["validation"], recipe["data"]["test"]) == (0.2, 0.1)
    assert recipe["optimizer"]["lr"] == 0.1
    assert recipe["optimizer"]["name"] == "sgd"
    assert (document["seed"], document["data"]["size"]) == (5, [10, 10, 1])
    assert document["command"][1:] != []


@pytest.fixture(scope="module")
def unwatched(tiny_data, tmp_path_factory):
    """A training in a process of its own, whose standard error nobody reads any more."""
    out = tmp_path_factory.mktemp("alone") / "run"
    words = ["train", str(tiny_data), "--net", NET, "--epochs", "3", "--out", str(out), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        made = subprocess.run(
            [STRIATE, *words], stderr=pipe, stdout=subprocess.PIPE, timeout=120, check=False
        )
    return made, words, out


def test_a_training_outlives_the_reader_of_its_progress(unwatched):
    made, _, _ = unwatched
    assert made.returncode == 0
    assert json.loads(made.stdout)["epochs"] == 3


def test_the_command_line_is_recorded(unwatched):
    _, words, out = unwatched
    assert read_run(out)["command"] == ["striate", *words]


def test_a_warning_about_nothing_learned_reaches_the_user(train):
    _, _, err = train("--epochs", "1", "--set", "optimizer.name=sgd", "--set", "optimizer.lr=1e-12")
    assert "near that of always naming the commonest class" in err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45", 45), ("90s", 90), ("1.5s", 1.5), ("10m", 600), ("1h30m", 5400), ("1h0m2s", 3602)],
)
def test_lengths_of_time(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5", "10 m", "m", "1d", "1m1h", "1h30", "nan", "inf"]
)
def test_what_is_no_length_of_time(text):
    with pytest.raises(UsageError, match="is no length of time.*write 90s, 10m or 1h30m"):
        read_duration(text)


@pytest.mark.parametrize(
    ("option", "name"),
    [("--epochs", "epochs"), ("--time", "stop.seconds"), ("--validation", "data.validation")],
)
def test_an_option_and_its_setting_are_not_both_taken(train, option, name):
    status, _, err = train(option, "1", "--set", f"{name}=1")
    assert status == 2
    assert f"{option} and --set {name}=... are the same setting" in err


def test_a_file_for_a_run_folder_is_a_wrong_option(train, tmp_path):
    (tmp_path / "run").write_text("mine")
    status, _, err = train("--epochs", "1")
    assert (status, err.splitlines()[-1].count("is a file, or lies in one")) == (2, 1)


def test_settings_are_split_at_the_first_equals_sign():
    assert read_settings(["a = b=c", "d="]) == {"a": "b=c", "d": ""}


@pytest.mark.parametrize("pair", ["a", "=1", " =1", ""])
def test_what_is_no_setting(pair):
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        read_settings([pair])


@pytest.fixture
def weights(train, tmp_path):
    """The folder of a run whose weights another one starts from."""
    train("--epochs", "1", out="first")
    return str(tmp_path / "first")


def test_weights_and_frozen_stages_reach_the_recipe(train, weights, tmp_path):
    status, _, err = train("--epochs", "1", "--weights", weights, "--freeze", "1")
    assert status == 0
    written = read_run(tmp_path / "run")
    assert written["recipe"]["transfer"] == {"weights": weights, "freeze": 1, "rate": 0.1}
    assert "conv1..maxpool1 (4x4x4) frozen" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--freeze", "1"], 2, "transfer has no effect without transfer.weights"),
        (["--weights", "absent.safetensors"], 4, "absent.safetensors: cannot be read"),
        (["--weights", "hf:nonsense"], 2, "hf:nonsense: is no name on the hub"),
        (
            ["--weights", "a", "--set", "transfer.weights=b"],
            2,
            "--weights and --set transfer.weights=... are the same setting",
        ),
    ],
)
def test_weights_that_cannot_be_are_one_line(arguments, status, message, train):
    found, _, err = train(*arguments)
    assert found == status
    assert message in err
    assert err.count("\n") == 1


def test_weights_of_another_net_are_one_line_with_status_4(train, weights):
    words = ["--weights", weights, "--set", "batch_size=16", "--json"]
    status, out, err = train(*words, "--net", "conv3-5 relu gap fc-3")
    assert status == 4
    assert "'layers.conv1.weight' is [4, 1, 3, 3]" in json.loads(out)["error"]["message"]
    assert err.count("\n") == 1
