"""Several processes on one run: the batches of one, weights that repeat, and no process left."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from striate import cli
from striate.data import Data, load_data
from striate.errors import CheckpointError, ResourceError, TerminatedRunError, UsageError
from striate.jobs.plan import make_plan
from striate.jobs.resume import resume
from striate.jobs.run import Run
from striate.jobs.train import train
from striate.model import hash_tensors, load_tensors
from striate.training import children, loop, processes
from striate.training.checkpoint import list_checkpoints
from striate.training.events import Events
from striate.training.folder import read_measurements, read_run
from striate.training.handover import _map_file, _mapped_file
from striate.training.processes import check_workers
from striate.training.recipe import load_recipe
from striate.training.setup import prepare
from striate.training.team import Team

STRIATE = str(Path(sys.executable).parent / "striate")
NET = "conv3-4 bn relu maxpool2 dropout0.3 fc-3"
SETTINGS = {
    "workers": 2,
    "epochs": 3,
    "batch_size": 16,
    "precision": "fp32",
    "checkpoint_seconds": 1000,
    "regularize.jitter": 0.1,
    "average.name": "lookahead",
    "stop.restarts": 2,
}
TORCHRUN = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
}


def weights(run):
    return load_tensors(Path(run) / "model.safetensors")[0]


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """The processes that the test starts; none may be left."""
    found = []
    start = children.Children.start

    def remember(self, world, meeting):
        try:
            start(self, world, meeting)
        finally:
            found.extend(child.process for child in self._children)

    monkeypatch.setattr(children.Children, "start", remember)
    monkeypatch.setattr("striate.training.watch.SHOWN_EVERY", 0.0)
    yield found
    assert all(process.poll() is not None for process in found)
    assert not torch.distributed.is_initialized()


class At(Events):
    """Does something at a step of the training."""

    def __init__(self, step, act):
        self.step, self.act, self.said = step, act, []

    def progress(self, progress):
        if progress.restart * progress.steps + progress.step == self.step:
            self.act()

    def say(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def straight(tiny_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight") / "run"
    train(tiny_data, net=NET, out=out, settings=SETTINGS)
    return out


def test_a_stopped_and_resumed_run_gives_the_straight_weights(tiny_data, straight, tmp_path):
    step = random.Random(3).randint(1, 2 * 3 * 9 - 1)
    stop = At(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TerminatedRunError, match="the run is saved"):
        train(tiny_data, net=NET, out=tmp_path / "run", settings=SETTINGS, events=stop)
    assert read_run(tmp_path / "run")["recipe"]["workers"] == 2
    run = resume(tmp_path / "run")
    assert (run.steps, run.epochs) == (2 * 3 * 9, 2 * 3)
    assert hash_tensors(weights(run.path)) == hash_tensors(weights(straight))


def test_three_processes_train_as_one_does(tiny_data, tmp_path):
    """Without batch normalisation and noise: the losses, the penalties and the weights are equal.

    A batch of 16 is shared out unevenly, and the images are in memory.
    """
    data = load_data(tiny_data)
    data = Data.from_arrays(np.array(data.images), data.labels)
    settings = {
        "epochs": 2,
        "batch_size": 16,
        "precision": "fp32",
        "optimizer.name": "sgd",
        "optimizer.lr": 0.3,
        "regularize.l2": 0.01,
        "regularize.clip_norm": 1.0,
        "augment.translate": 1,
    }
    ends = []
    for workers in (1, 3):
        run = train(
            data,
            net="conv3-4 relu maxpool2 fc-3",
            out=tmp_path / str(workers),
            settings=settings,
            workers=workers,
        )
        ends.append((weights(run.path), read_measurements(run.path)))
    (one, lines), (three, lines_of_three) = ends
    for name in one:
        torch.testing.assert_close(three[name], one[name], atol=1e-5, rtol=0)
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "step"):
        expected = [line[name] for line in lines]
        assert [line[name] for line in lines_of_three] == pytest.approx(expected, abs=1e-5)


def plan_of(data, **settings):
    recipe = load_recipe("fast").with_settings({"batch_size": 16, "epochs": 2, **settings})
    return make_plan(data, net="conv3-4 relu fc-3", recipe=recipe, seed=0, device="cpu")[0]


def test_two_processes_see_together_the_batches_of_one(tiny_data):
    data = load_data(tiny_data).split()
    shared = plan_of(data, workers=2)
    tasks = [prepare(shared, data, Team(rank, 2, ResourceError))[0] for rank in (0, 1)]
    alone, _ = prepare(plan_of(data), data)
    for batch, *parts in zip(
        alone.batches.epoch(1), *(task.batches.epoch(1) for task in tasks), strict=True
    ):
        assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
        assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)


def test_a_killed_process_is_named_at_once_and_the_checkpoint_is_whole(
    tiny_data, tmp_path, started
):
    act = At(5, lambda: os.kill(started[0].pid, signal.SIGKILL))
    begun = time.monotonic()
    with pytest.raises(ResourceError, match="process 1 .* was killed by SIGKILL.*striate resume"):
        train(tiny_data, net=NET, out=tmp_path / "run", settings=SETTINGS, events=act)
    assert time.monotonic() - begun < 30  # most of which is the start
    load_tensors(list_checkpoints(tmp_path / "run" / "checkpoints")[0], error=CheckpointError)


def test_a_process_that_hangs_is_given_up(tiny_data, tmp_path, started, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 2.0)
    monkeypatch.setattr(children, "NOTICE", 0.1)
    monkeypatch.setattr(children, "GRACE", 0.1)
    act = At(5, lambda: started[0].send_signal(signal.SIGSTOP))
    with pytest.raises(ResourceError, match="does not answer") as caught:
        train(tiny_data, net=NET, out=tmp_path / "run", settings=SETTINGS, events=act)
    assert caught.value.status == 6


def test_a_process_that_cannot_start_says_why(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "PROGRAM", "raise SystemExit('no room here')")
    with pytest.raises(ResourceError, match=r"process 1 of the run ended: no room here$"):
        train(tiny_data, net=NET, out=tmp_path / "run", settings=SETTINGS)


def test_all_go_back_where_the_leader_finds_a_number_that_is_none(tiny_data, tmp_path, monkeypatch):
    original, poisoned = loop._take_step, []

    def poison_once(task, state, batch):
        original(task, state, batch)
        if state.step == 12 and not poisoned:
            poisoned.append(True)
            state.module.state_dict()["layers.bn1.running_mean"].fill_(float("nan"))

    monkeypatch.setattr(loop, "_take_step", poison_once)
    events = At(0, lambda: None)
    settings = {**SETTINGS, "checkpoint_seconds": 0}
    run = train(tiny_data, net=NET, out=tmp_path / "run", settings=settings, events=events)
    assert any("bn1.running_mean is no longer finite: back to step" in text for text in events.said)
    assert run.steps == 2 * 3 * 9
    assert run.test["accuracy"] > 0.5


def test_a_budget_of_seconds_ends_all_together(tiny_data, tmp_path, monkeypatch):
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", loopback)  # as a user may have chosen another
    settings = {**SETTINGS, "epochs": 10_000, "stop.seconds": 0.5, "stop.restarts": 1}
    run = train(tiny_data, net=NET, out=tmp_path / "run", settings=settings)
    assert run.stopped == "time"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_when_the_leader_is_killed_the_others_end_and_resume_prints_one_document(
    tiny_data, tmp_path
):
    out = tmp_path / "run"
    arguments = [STRIATE, "train", tiny_data, "--workers", "2", "--net", NET, "--out", out]
    arguments += ["--epochs", "30", "--set", "checkpoint_seconds=0"]
    leader = subprocess.Popen([str(a) for a in arguments], stderr=subprocess.DEVNULL)
    while not read_measurements(out):
        assert leader.poll() is None
        time.sleep(0.05)
    others = Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text().split()
    leader.kill()
    leader.wait()
    assert len(others) == 1
    deadline = time.monotonic() + 5
    while Path(f"/proc/{others[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{others[0]}").exists()
    resumed = subprocess.run(
        [STRIATE, "resume", str(out), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(resumed.stdout)["steps"] == 30 * 4
    assert len(resumed.stdout.splitlines()) == 1


def test_torchrun_starts_the_same_run(tiny_data, straight, tmp_path, monkeypatch, capsys):
    """This process is number 1 of the two that torchrun would start, the other one leads."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    places = {**TORCHRUN, "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    settings = {name: value for name, value in SETTINGS.items() if name != "workers"}
    chosen = [f"--set={name}={value}" for name, value in settings.items()]
    out = tmp_path / "run"
    arguments = ["train", str(tiny_data), "--net", NET, "--out", str(out), "--json", *chosen]
    leader = subprocess.Popen(
        [STRIATE, *arguments], env={**os.environ, **places}, stdout=subprocess.PIPE, text=True
    )
    for name, value in {**places, "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert cli.run(arguments) == 0
    assert capsys.readouterr() == ("", "")
    printed, _ = leader.communicate(timeout=60)
    assert Run.from_json(json.loads(printed)).to_json() == json.loads(printed)
    assert hash_tensors(weights(out)) == hash_tensors(weights(straight))


def test_a_follower_of_torchrun_whose_leader_is_gone_exits_quietly(monkeypatch):
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    places = {**TORCHRUN, "RANK": "1", "LOCAL_RANK": "1", "MASTER_PORT": str(store.port)}
    for name, value in {**places, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "FOR_EVER", processes.timedelta(seconds=0.5))
    with pytest.raises(SystemExit) as caught:
        resume("nowhere")
    assert caught.value.code == 6


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:1", "need a GPU each, and 'cuda:1' names 1"), ("mps", "'mps' names 1")],
)
def test_devices_that_cannot_be_shared(device, message):
    check_workers(1, torch.device(device))
    check_workers(2, torch.device("cpu"))
    with pytest.raises(UsageError, match=message):
        check_workers(2, torch.device(device))


def test_another_number_than_torchrun_started(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    check_workers(2, torch.device("cpu"))
    with pytest.raises(UsageError, match="the run has 3 and torchrun started 2"):
        check_workers(3, torch.device("cpu"))


def test_a_process_that_is_in_a_group_already(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with pytest.raises(UsageError, match="in a group of torch.distributed already"):
            check_workers(2, torch.device("cpu"))
    finally:
        torch.distributed.destroy_process_group()


def test_more_processes_than_images_in_a_batch(tiny_data):
    data = load_data(tiny_data).split()
    with pytest.raises(UsageError, match="process 0 of 17 gets nothing of 16 images"):
        prepare(plan_of(data, workers=17), data, Team(0, 17, ResourceError))


def test_a_plan_for_several_is_not_trained_by_one(tiny_data):
    data = load_data(tiny_data).split()
    with pytest.raises(UsageError, match="2 processes are asked for and 1 would train"):
        prepare(plan_of(data, workers=2), data)


def test_only_a_whole_mapped_file_is_mapped_again(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    again = _map_file(_mapped_file(mapped), [5, 4, 3, 1])
    assert np.array_equal(again, images)
    assert _mapped_file(images) is None
    assert _mapped_file(mapped[1:]) is None
    assert _map_file([str(tmp_path / "gone.npy"), 0], [1, 1, 1, 1]) is None
