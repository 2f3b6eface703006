"""Faults while training, named after the lines of the reliability matrix."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from striate.errors import (
    BusyError,
    CheckpointError,
    DivergedError,
    InterruptedRunError,
    ResourceError,
    TerminatedRunError,
)
from striate.jobs.resume import resume
from striate.jobs.train import train
from striate.model import hash_tensors, load_tensors
from striate.training.checkpoint import list_checkpoints
from striate.training.events import Events
from striate.training.folder import RunFolder, read_measurements, read_run

STRIATE = str(Path(sys.executable).parent / "striate")
NET = "conv3-4 relu maxpool2 dropout0.3 fc-3"
SETTINGS = {
    "epochs": 6,
    "batch_size": 16,
    "precision": "fp32",
    "checkpoint_seconds": 0,
    "regularize.jitter": 0.1,
    "average.name": "ema",
}


def weights_hash(run):
    return hash_tensors(load_tensors(Path(run) / "model.safetensors")[0])


def straight_run(data, out, **settings):
    train(data, net=NET, out=out, settings={**SETTINGS, **settings})
    return weights_hash(out)


def train_in_process(data, out, settings):
    torch.set_num_threads(1)
    train(data, net=NET, out=out, settings=settings)


def train_or_resume(data, out, settings):
    torch.set_num_threads(1)
    if (out / "run.json").is_file():
        resume(out)
    else:  # also where a kill came so early that there is but half a run.json
        train(data, net=NET, out=out, settings=settings)


class StopAt(Events):
    """Sends this process a signal at a step of the training."""

    def __init__(self, step, number):
        self.step, self.number = step, number

    def progress(self, progress):
        if progress.step >= self.step:
            self.step = 10**9
            os.kill(os.getpid(), self.number)


@pytest.fixture
def every_step_is_shown(monkeypatch):
    monkeypatch.setattr("striate.training.watch.SHOWN_EVERY", 0.0)


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """A straight run, and the hash of its weights."""
    out = tmp_path_factory.mktemp("straight") / "run"
    return out, straight_run(tiny_data, out)


@pytest.mark.slow
def test_01_killed_at_fifty_random_moments(tiny_data, tmp_path, processes):
    settings = {**SETTINGS, "epochs": 300}
    out, generator = tmp_path / "run", random.Random(1)
    straight = processes.Process(
        target=train_in_process, args=(tiny_data, tmp_path / "straight", settings)
    )
    straight.start()
    straight.join()
    kills = 0
    while kills < 50:
        child = processes.Process(target=train_or_resume, args=(tiny_data, out, settings))
        child.start()
        child.join(0.1 + 0.3 * generator.random())
        if not child.is_alive():
            assert child.exitcode == 0
            assert weights_hash(out) == weights_hash(tmp_path / "straight")
            shutil.rmtree(out)
            continue
        child.kill()
        child.join()
        kills += 1
        for newest in list_checkpoints(out / "checkpoints")[:1]:
            load_tensors(newest, error=CheckpointError)  # whole: at most one interval is lost
    if not (out / "run.json").is_file():
        return
    resume(out)
    assert weights_hash(out) == weights_hash(tmp_path / "straight")


def test_02_killed_between_write_and_rename(tiny_data, tmp_path, every_step_is_shown):
    out = tmp_path / "run"
    with pytest.raises(TerminatedRunError):
        train(tiny_data, net=NET, out=out, settings=SETTINGS, events=StopAt(9, signal.SIGTERM))
    whole = list_checkpoints(out / "checkpoints")[0]
    orphan = whole.with_name(f".{whole.name}.0badcafe.partial")
    orphan.write_bytes(whole.read_bytes()[:1000])
    resume(out)
    assert not orphan.exists()


def test_03_disk_full_while_saving(tiny_data, tmp_path, processes):
    out = tmp_path / "run"
    probe = tmp_path / "result"
    child = processes.Process(target=train_with_small_files, args=(tiny_data, out, probe))
    child.start()
    child.join()
    message = probe.read_text()
    assert re.search(r"6: .*disk full, \d+ MB needed", message)
    (whole, *_) = list_checkpoints(out / "checkpoints")
    load_tensors(whole, error=CheckpointError)


def train_with_small_files(data, out, probe):
    """Train until a limit on the size of files, set in mid-run, makes a save fail."""
    torch.set_num_threads(1)

    class Limit(Events):
        def measured(self, measurement):
            if measurement.epoch == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    try:
        train(data, net=NET, out=out, settings=SETTINGS, events=Limit())
    except ResourceError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        probe.write_text(f"{error.status}: {error}")


def test_04_disk_full_while_writing_the_report(tiny_data, finished, tmp_path, command):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    (out / "report.html").unlink()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # noqa: E731
    failed = command("report", out, preexec_fn=limit)
    assert failed.returncode == 6
    assert "disk full" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert command("report", out).returncode == 0
    assert (out / "report.html").stat().st_size > 1000


def test_05_too_little_space_is_refused_before_training(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.jobs.train.CHECKPOINTS_THAT_MUST_FIT", 10**12)
    with pytest.raises(ResourceError, match="MB free, .* MB needed for three checkpoints"):
        train(tiny_data, net=NET, out=tmp_path / "run", settings=SETTINGS)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_06_every_save_is_flushed_in_the_right_order(tiny_data, tmp_path):
    out, trace = tmp_path / "run", tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    arguments = ["train", tiny_data, "--net", NET, "--out", out, "--epochs", "1"]
    run = ["strace", "-f", "-y", "-e", calls, "-o", trace, STRIATE, *arguments]
    subprocess.run([str(a) for a in run], check=True, capture_output=True, timeout=300)
    lines = trace.read_text().splitlines()
    renames = [i for i, line in enumerate(lines) if "rename" in line and "/checkpoints/" in line]
    assert renames
    for place in renames:
        temporary = re.search(r'"([^"]*\.partial)"', lines[place])[1]
        assert any("fsync" in line and temporary in line for line in lines[:place])
        after = lines[place + 1]
        assert "fsync" in after
        assert "/checkpoints>" in after


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, TerminatedRunError), (signal.SIGINT, InterruptedRunError)],
    ids=["07_sigterm", "08_ctrl_c_once"],
)
def test_07_08_a_signal_saves_and_resume_is_bit_equal(
    number, error, tiny_data, tmp_path, finished, every_step_is_shown
):
    settings = {**SETTINGS, "checkpoint_seconds": 1000}
    with pytest.raises(error, match="the run is saved.*striate resume"):
        train(
            tiny_data, net=NET, out=tmp_path / "run", settings=settings, events=StopAt(25, number)
        )
    resume(tmp_path / "run")
    straight = straight_run(tiny_data, tmp_path / "straight", checkpoint_seconds=1000)
    assert weights_hash(tmp_path / "run") == straight


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_07_08_the_exit_status_of_the_command(number, status, tiny_data, tmp_path):
    out = tmp_path / "run"
    arguments = ["train", tiny_data, "--net", NET, "--out", out, "--epochs", "100000"]
    with subprocess.Popen(
        [STRIATE, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for_epochs(out, 3)
        sent = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert process.returncode == status
    assert f"striate resume {out}" in said


def wait_for_epochs(out, epochs):
    deadline = time.monotonic() + 60
    while len(read_measurements(out)) < epochs:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_08_ctrl_c_twice_stops_now_with_the_old_checkpoint_intact(tiny_data, tmp_path, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.setattr("striate.training.watch.SHOWN_EVERY", 0.0)

    class TwiceAtOnce(Events):
        def progress(self, progress):
            if progress.step == 25:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tiny_data, net=NET, out=out, settings=SETTINGS, events=TwiceAtOnce())
    load_tensors(list_checkpoints(out / "checkpoints")[0], error=CheckpointError)
    assert resume(out).stopped == "finished"


@pytest.mark.parametrize("optimizer", ["muon", "adam", "nesterov"])
def test_09_twenty_random_stops_give_the_straight_weights(
    optimizer, tiny_data, tmp_path, every_step_is_shown
):
    settings = {**SETTINGS, "checkpoint_seconds": 1000, "stop.patience": 50}
    settings |= {"optimizer.name": optimizer, "average.name": "lookahead", "augment.rotate": 10}
    if optimizer != "muon":
        settings["optimizer.lr"] = 0.01
    straight = straight_run(tiny_data, tmp_path / "straight", **settings)
    generator = random.Random(optimizer)
    stops = {"muon": 20, "adam": 3, "nesterov": 3}[optimizer]
    for stop in range(stops):
        out = tmp_path / f"run{stop}"
        events = StopAt(generator.randint(1, 50), signal.SIGTERM)
        with pytest.raises(TerminatedRunError):
            train(tiny_data, net=NET, out=out, settings=settings, events=events)
        resume(out)
        assert weights_hash(out) == straight


def test_14_a_loss_that_is_none_goes_back_with_half_the_rate_then_gives_up(tiny_data, tmp_path):
    said = []

    class Listen(Events):
        def say(self, text):
            said.append(text)

    settings = {**SETTINGS, "optimizer.name": "sgd", "optimizer.lr": 1000.0, "average.name": "none"}
    settings |= {"loss.name": "square", "precision": "fp32"}
    with pytest.raises(DivergedError, match="going back 2 times") as caught:
        train(tiny_data, net=NET, out=tmp_path / "run", settings=settings, events=Listen())
    assert caught.value.status == 5
    assert sum("times the learning rate" in text for text in said) == 2
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_15_statistics_that_are_none_are_never_saved(tiny_data, tmp_path, monkeypatch):
    from striate.training import loop

    original, poisoned = loop._take_step, []

    def poison_once(task, state, batch):
        original(task, state, batch)
        if state.step == 20 and not poisoned:
            poisoned.append(True)
            state.module.state_dict()["layers.bn1.running_mean"].fill_(float("nan"))

    monkeypatch.setattr(loop, "_take_step", poison_once)
    said = []

    class Listen(Events):
        def say(self, text):
            said.append(text)

    net = "conv3-4 bn relu maxpool2 fc-3"
    train(tiny_data, net=net, out=tmp_path / "run", settings=SETTINGS, events=Listen())
    assert any("bn1.running_mean is no longer finite" in text for text in said)
    tensors, _ = load_tensors(tmp_path / "run" / "model.safetensors")
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())


def test_16_accuracy_at_chance_is_said_and_the_report_lists_causes(tiny_data, tmp_path):
    said = []

    class Listen(Events):
        def say(self, text):
            said.append(text)

    settings = {**SETTINGS, "optimizer.name": "sgd", "optimizer.lr": 1e-12, "epochs": 1}
    run = train(tiny_data, net=NET, out=tmp_path / "run", settings=settings, events=Listen())
    assert run.test["accuracy"] < 0.45
    assert any("near that of always naming the commonest class" in text for text in said)
    report = run.report.read_text("utf-8")
    _, causes = report.split("Why accuracy may have stayed at chance")
    causes = causes.split("</ul>")[0]
    assert causes.count("<li>") >= 5
    for cause in ("labels do not belong to the images", "it was 1e-12; try", "too short"):
        assert cause in causes


def test_17_a_second_run_into_the_folder_is_told_the_first_ones_process(tiny_data, tmp_path):
    out = tmp_path / "run"
    folder = RunFolder.create(out)
    folder.write_json("run.json", {})
    for job in (lambda: train(tiny_data, net=NET, out=out), lambda: resume(out)):
        with pytest.raises(BusyError, match=f"being written by process {os.getpid()}") as caught:
            job()
        assert caught.value.status == 2
    folder.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["recipe"]["optimizer"].update(lr=0.1), "recipe.optimizer"),
        (lambda d: d["recipe"].update(epochs=7), "recipe.epochs"),
        (lambda d: d.update(seed=5), "seed"),
        (lambda d: d.update(net="conv3-5 relu maxpool2 fc-3"), "net"),
    ],
)
def test_18_resume_with_another_recipe_lists_the_differences(change, named, finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    description = json.loads((out / "run.json").read_text())
    change(description)
    (out / "run.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=f"belongs to another run: .*{named} ") as caught:
        resume(out)
    assert caught.value.status == 4


def test_18_resume_with_other_data_says_so(finished, tmp_path, tiny_data):
    import numpy as np

    out, data = tmp_path / "run", tmp_path / "tiny.npz"
    shutil.copytree(finished[0], out)
    with np.load(tiny_data) as arrays:
        images, labels = arrays["images"].copy(), arrays["labels"]
    images[0, 0, 0] ^= 1
    np.savez(data, images=images, labels=labels)
    description = read_run(out)
    description["data"]["source"] = str(data)
    (out / "run.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="belongs to another run: data "):
        resume(out)


def test_19_a_checkpoint_cut_short_falls_back_to_the_one_before(finished, tmp_path):
    source = list_checkpoints(finished[0] / "checkpoints")
    assert len(source) == 2
    content, generator = source[0].read_bytes(), random.Random(3)
    lengths = [0, 1, 7, 8, 9, *(generator.randrange(len(content)) for _ in range(20))]
    for length in lengths:
        out = tmp_path / f"run{length}"
        shutil.copytree(finished[0], out, dirs_exist_ok=True)
        (out / "checkpoints" / source[0].name).write_bytes(content[:length])
        resume(out)
        assert weights_hash(out) == finished[1]
        assert "the checkpoint before it is used" in (out / "log.txt").read_text()


def test_19_when_no_checkpoint_is_whole_the_status_is_four(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    for checkpoint in list_checkpoints(out / "checkpoints"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="no checkpoint is whole") as caught:
        resume(out)
    assert caught.value.status == 4


def test_20_one_flipped_bit_is_found_and_the_previous_checkpoint_used(finished, tmp_path):
    generator = random.Random(4)
    for attempt in range(10):
        out = tmp_path / f"run{attempt}"
        shutil.copytree(finished[0], out)
        newest = list_checkpoints(out / "checkpoints")[0]
        content = bytearray(newest.read_bytes())
        place = generator.randrange(len(content))
        content[place] ^= 1 << generator.randrange(8)
        newest.write_bytes(content)
        resume(out)
        assert weights_hash(out) == finished[1]
        assert "the checkpoint before it is used" in (out / "log.txt").read_text()
