"""Progress: a bar on a terminal, lines elsewhere."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from striate.cli.terminal import TerminalEvents
from striate.training.events import Measurement, Progress

STRIATE = str(Path(sys.executable).parent / "striate")

PROGRESS = Progress(
    done=0.25,
    restart=0,
    restarts=1,
    epoch=1,
    epochs=8,
    step=100,
    steps=400,
    loss=0.5,
    accuracy=0.875,
    images_per_second=12345.6,
    seconds=10.0,
    seconds_left=605.0,
)
MEASUREMENT = Measurement(
    epoch=2,
    step=200,
    restart=0,
    seconds=20.0,
    train_loss=0.4,
    train_accuracy=0.9,
    validation_loss=0.3,
    validation_accuracy=0.95,
    learning_rate=0.1,
    images_per_second=12345.6,
)


@pytest.fixture
def on_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_elsewhere_only_lines_are_printed(capsys):
    with TerminalEvents() as events:
        events.stored(1, 2)
        events.progress(PROGRESS)
        events.measured(MEASUREMENT)
        events.say("a sentence [bold]as it is[/bold] \x1b[2J")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "epoch   2/8  loss 0.4000  train  90.00%  validation  95.00% (loss 0.3000)  "
        "12,346 images/s  20 s",
        "a sentence [bold]as it is[/bold] \\x1b[2J",
    ]


def test_without_validation_the_line_has_none(capsys):
    with TerminalEvents() as events:
        events.measured(replace(MEASUREMENT, validation_loss=None, validation_accuracy=None))
    err = capsys.readouterr().err
    assert err == "epoch   2  loss 0.4000  train  90.00%  12,346 images/s  20 s\n"


def test_the_bar_shows_epoch_loss_accuracy_speed_and_time_left(on_a_terminal, capsys):
    with TerminalEvents() as events:
        events.progress(PROGRESS)
        events.measured(MEASUREMENT)
    err = plain(capsys.readouterr().err)
    for part in ("epoch 2/8", "loss 0.500", "87.50%", "12,346 images/s", "10 min 05 s left"):
        assert part in err


def test_the_bar_names_the_start_where_there_are_several(on_a_terminal, capsys):
    with TerminalEvents() as events:
        events.progress(replace(PROGRESS, restart=1, restarts=3))
    assert "start 2/3, epoch 2/8" in plain(capsys.readouterr().err)


def test_decoding_has_a_bar_of_its_own(on_a_terminal, capsys):
    with TerminalEvents() as events:
        events.stored(1000, 5000)
        events.stored(5000, 5000)
        events.progress(PROGRESS)
    err = plain(capsys.readouterr().err)
    assert "decoding" in err
    assert "1,000 of 5,000 images" in err
    assert "epoch 2/8" in err


def test_an_error_takes_the_bar_down(on_a_terminal, capsys):
    events = TerminalEvents()

    def fail():
        with events:
            events.progress(PROGRESS)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is ours
        fail()
    assert capsys.readouterr().err.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_a_real_terminal_sees_a_bar(tiny_data, tmp_path):
    leader, follower = pty.openpty()
    words = ["train", str(tiny_data), "--net", "conv3-8 relu fc-3", "--time", "1s"]
    words += ["--epochs", "100000", "--out", str(tmp_path / "run"), "--json"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(
        [STRIATE, *words], stderr=follower, stdout=subprocess.PIPE, env=environment
    ) as process:
        os.close(follower)
        seen = read_until_closed(leader, 60)
        out = process.stdout.read()
    assert process.returncode == 0
    assert out.startswith(b"{")
    assert "images/s" in plain(seen)
    assert re.search(r"epoch \d+/100000 .*[━╸].*left", plain(seen))


def read_until_closed(descriptor, seconds):
    """All that a process writes to its terminal."""
    seen, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([descriptor], [], [], 1)[0]:
            continue
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(descriptor)
    return seen.decode(errors="replace")
