"""Trainings that start from weights: what is kept, frozen, recorded, and gone on with."""

import hashlib
import json
import os
import random
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import striate
from striate.classifier import ImageClassifier
from striate.data import VALIDATION, Data, load_data
from striate.errors import (
    ModelError,
    NetError,
    RecipeError,
    TerminatedRunError,
    UsageError,
)
from striate.jobs.plan import make_plan
from striate.jobs.resume import resume
from striate.jobs.train import train
from striate.jobs.weights import read_weights
from striate.model import load_model, load_tensors
from striate.training.checkpoint import list_checkpoints
from striate.training.events import Events
from striate.training.folder import read_run
from striate.training.recipe import load_recipe
from striate.training.setup import prepare

NET = "conv3-4 bn relu maxpool2 (conv3-4 bn + skip) relu maxpool2 conv3-6 bn relu gap fc-9"
SETTINGS = {"epochs": 2, "batch_size": 16, "precision": "fp32"}
MEAN, STD = 0.3, 0.2


class Source(nn.Module):
    """The net of the tests with names as torchvision would give them, for colour images."""

    def __init__(self, channels=1, classes=9):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Module()
        self.layer1.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.layer1.bn1 = nn.BatchNorm2d(4)
        self.layer2 = nn.Module()
        self.layer2.conv1 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.layer2.bn1 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, classes)


OURS = {
    "conv1": "conv1",
    "bn1": "bn1",
    "layer1.conv1": "add1.branches.0.conv2",
    "layer1.bn1": "add1.branches.0.bn2",
    "layer2.conv1": "conv3",
    "layer2.bn1": "bn3",
    "fc": "fc1",
}


def write_source(folder, channels=1, classes=9, **config):
    torch.manual_seed(3)
    source = Source(channels, classes)
    with torch.no_grad():
        for norm in (source.bn1, source.layer1.bn1, source.layer2.bn1):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    folder.mkdir(exist_ok=True)
    save_file(source.state_dict(), folder / "weights.safetensors")
    document = {"mean": [MEAN] * 3, "std": [STD] * 3, "input_size": [3, 8, 8], **config}
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": document}))
    return folder / "weights.safetensors"


@pytest.fixture
def weights(tmp_path):
    return write_source(tmp_path / "source")


@pytest.fixture
def tune(tiny_data, tmp_path, weights):
    """Train on the tiny data from the weights, into a folder of the test."""

    def call(out="run", *, data=tiny_data, net=NET, events=None, start=weights, **settings):
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        settings = {**SETTINGS, "transfer.weights": str(start), **dotted}
        return train(data, net=net, out=tmp_path / out, events=events, settings=settings)

    return call


def state_of(run):
    return load_model(run.path).module.state_dict()


def source_state(weights):
    """The tensors of the file under our names."""
    renamed = {}
    for name, tensor in load_file(weights).items():
        layer, _, part = name.rpartition(".")
        renamed[f"layers.{OURS[layer]}.{part}"] = tensor
    return renamed


def weights_hash(run):
    digest = hashlib.sha256()
    for name, tensor in sorted(state_of(run).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


# what is recorded and used


def test_the_run_says_where_its_weights_come_from(tune, weights, heard):
    run = tune(events=heard)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    written = read_run(run.path)
    assert written["recipe"]["transfer"] == {"weights": str(weights), "freeze": 0, "rate": 0.1}
    assert written["weights"] == {
        "source": str(weights),
        "path": str(weights),
        "commit": None,
        "sha256": sha256,
        "mean": [MEAN],
        "std": [STD],
        "head": "new",
    }
    assert load_model(run.path).provenance["weights"]["sha256"] == sha256
    assert sha256 in run.report.read_text()
    log = (run.path / "log.txt").read_text()
    for said in (
        f"6 layers start from {weights} (SHA-256 {sha256[:12]})",
        "the head is new: the weights have 9 classes, the data 3",
        "pixels are normalised by mean/deviation 0.3/0.2 (config.json)",
        "stages, for --freeze: 1 conv1..relu1 (8x8x4); 2 maxpool1..relu2 (4x4x4); "
        "3 maxpool2..gap1 (1x1x6)",
        "what is not frozen learns at 0.1 of the rate, the head at all of it",
    ):
        assert said in log
        assert said in heard.said


def test_without_a_recipe_the_one_for_fine_tuning_is_taken(tune, train_tiny):
    recipe = read_run(tune().path)["recipe"]
    assert recipe["optimizer"]["name"] == "adamw"
    assert recipe["initialize"]["name"] == "torch"
    assert read_run(train_tiny(out="other").path)["recipe"]["optimizer"]["name"] == "muon"


def test_the_model_sees_images_by_the_mean_of_the_weights(tune, tiny_data):
    model = load_model(tune().path)
    assert (model.preprocessing.mean, model.preprocessing.std) == ((MEAN,), (STD,))
    images = load_data(tiny_data).images[:4]
    pixels = (torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 255 - MEAN) / STD
    with torch.no_grad():
        expected = model.module(pixels)
    np.testing.assert_allclose(model.logits(images), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_training_and_validation_see_the_same_numbers(tiny_data, weights):
    data = load_data(tiny_data).split()
    recipe = load_recipe("finetune").with_settings({"transfer.weights": str(weights)})
    plan, _ = make_plan(data, net=NET, recipe=recipe, seed=0, device="cpu")
    task, state = prepare(plan, data, weights=read_weights(plan, data))
    assert (task.batches.mean, task.batches.std) == ((MEAN,), (STD,))
    held_out = data.indices(VALIDATION)
    pixels = torch.from_numpy(data.images[held_out]).permute(0, 3, 1, 2)
    state.module.eval()
    with torch.no_grad():
        logits = state.module((pixels / 255 - MEAN) / STD)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(data.labels[held_out]))
    assert task.validate(state)[0] == pytest.approx(float(loss), rel=1e-4)


def test_training_begins_with_the_weights(tune, weights):
    run = tune(epochs=1, optimizer__lr=1e-12, transfer__freeze=3)
    for name, tensor in source_state(weights).items():
        if "fc1" not in name:
            assert torch.equal(state_of(run)[name], tensor), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "nesterov", "rmsprop"])
def test_frozen_stages_keep_weights_and_statistics(optimizer, tune, weights):
    run = tune(transfer__freeze=2, optimizer__name=optimizer, average__name="ema")
    after, before = state_of(run), source_state(weights)
    frozen = [name for name in before if "conv3" not in name and "bn3" not in name]
    for name in frozen:
        if "fc1" not in name:
            assert torch.equal(after[name], before[name]), name
    for name in ("layers.conv3.weight", "layers.bn3.running_mean", "layers.bn3.bias"):
        assert not torch.equal(after[name], before[name]), name
    tensors, _ = load_tensors(list_checkpoints(run.path / "checkpoints")[0])
    remembered = {name.split("/")[2] for name in tensors if name.startswith("optimizers/")}
    trained = {n for n in before if "3." in n or "fc1" in n} - {
        n for n in before if "running" in n or "num_" in n
    }
    assert remembered == trained


def test_the_head_is_kept_for_the_same_classes_by_name(tune, tiny_data, tmp_path):
    labels = ["ash", "beech", "oak"]
    start = write_source(tmp_path / "named", classes=3, label_names=labels[::-1])
    with np.load(tiny_data) as arrays:
        images, numbers = arrays["images"], arrays["labels"]
    data = Data.from_arrays(images, np.array(labels)[numbers])
    run = tune(data=data, start=start, optimizer__lr=1e-12, epochs=1)
    head = source_state(start)["layers.fc1.weight"]
    torch.testing.assert_close(state_of(run)["layers.fc1.weight"], head.flip(0), rtol=0, atol=1e-9)
    assert "the head is kept: the weights are for the same 3 classes" in read_run(run.path)["notes"]


@pytest.mark.parametrize(
    ("classes", "config", "said"),
    [
        (3, {}, "the head is new: nothing says what the 3 classes of the weights are"),
        (3, {"label_names": list("xyz")}, "the head is new: the weights have classes of other"),
    ],
)
def test_why_the_head_is_new(classes, config, said, tune, tmp_path):
    run = tune(start=write_source(tmp_path / "other", classes=classes, **config), epochs=1)
    assert any(said in note for note in read_run(run.path)["notes"])


def test_grey_images_and_weights_for_colours(tune, tmp_path):
    run = tune(start=write_source(tmp_path / "colour", channels=3), epochs=1)
    assert any("summed, for grey images" in note for note in read_run(run.path)["notes"])


def test_a_run_of_ones_own_tells_the_net_and_the_mean(tune, train_tiny, tmp_path):
    first = train_tiny(out="first", net=NET)
    run = tune(start=first.path, net="auto")
    assert load_model(run.path).net == load_model(first.path).net
    assert load_model(run.path).preprocessing.mean == load_model(first.path).preprocessing.mean
    assert any("the weights are of it" in note for note in read_run(run.path)["notes"])


def test_a_net_with_a_small_stem_is_met_by_the_same_name(tmp_path, tiny_data):
    big = "input 96x96x1 conv7-4/2 bn relu maxpool2 conv3-6 bn relu gap fc-5"
    first = train(tiny_data, net=big, out=tmp_path / "first", settings=SETTINGS)
    assert "conv3-4 bn" in first.net  # the stem for small images
    settings = {**SETTINGS, "transfer.weights": str(first.path)}
    run = train(tiny_data, net=big, out=tmp_path / "second", settings=settings)
    assert run.net == first.net


def test_with_weights_the_stem_for_large_images_stays(tmp_path, tiny_data):
    net = "input 96x96x1 conv7-4/2 bn relu conv3-6 bn relu gap fc-5"
    torch.manual_seed(0)
    source = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(1, 4, 7, bias=False),
            "bn1": nn.BatchNorm2d(4),
            "conv2": nn.Conv2d(4, 6, 3, bias=False),
            "bn2": nn.BatchNorm2d(6),
        }
    )
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    settings = {**SETTINGS, "transfer.weights": str(tmp_path / "w.safetensors")}
    run = train(tiny_data, net=net, out=tmp_path / "run", settings=settings)
    assert "conv7-4/2" in run.net
    notes = read_run(run.path)["notes"]
    assert any("the weights were trained on 224: --size 224 sees more" in note for note in notes)
    assert "the head is new: the weights have none" in notes


# going on


class StopAt(Events):
    """Asks to stop after a step of the training, as a terminated job is asked."""

    def __init__(self, step):
        self.step = step

    def progress(self, progress):
        if progress.step >= self.step:
            self.step = 10**9
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "nesterov"])
def test_a_stopped_run_goes_on_without_the_file_to_the_same_weights(
    optimizer, tune, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr("striate.training.watch.SHOWN_EVERY", 0.0)
    choices = {"optimizer__name": optimizer, "transfer__freeze": 1, "checkpoint_seconds": 1000}
    straight = weights_hash(tune("straight", **choices))
    step = random.Random(optimizer).randint(1, 15)
    with pytest.raises(TerminatedRunError):
        tune(events=StopAt(step), **choices)
    shutil.rmtree(weights.parent)
    run = resume(tmp_path / "run")
    assert weights_hash(run) == straight
    assert load_model(run.path).preprocessing.mean == (MEAN,)


def killed_before_its_first_checkpoint(run):
    for checkpoint in list_checkpoints(run.path / "checkpoints"):
        checkpoint.unlink()
    (run.path / "metrics.jsonl").unlink()


def test_a_run_killed_before_its_first_checkpoint_reads_the_file_again(tune, weights):
    run = tune()
    before = weights_hash(run)
    killed_before_its_first_checkpoint(run)
    assert weights_hash(resume(run.path)) == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (
            lambda path: save_file({"fc.weight": torch.zeros(3, 6)}, path),
            "the weights have changed since .restore them",
        ),
    ],
)
def test_without_its_file_such_a_run_cannot_begin_again(spoil, message, tune, weights):
    run = tune()
    killed_before_its_first_checkpoint(run)
    spoil(weights)
    with pytest.raises(ModelError, match=message):
        resume(run.path)


def test_two_processes_start_from_the_weights_too(tune, weights):
    run = tune(workers=2, transfer__freeze=2)
    before, after = source_state(weights), state_of(run)
    for name in ("layers.bn1.running_var", "layers.add1.branches.0.conv2.weight"):
        assert torch.equal(after[name], before[name])
    assert load_model(run.path).preprocessing.mean == (MEAN,)


# the size of photos


def photo_size(run):
    return load_model(run.path).preprocessing.size


def test_photos_get_the_size_and_the_interpolation_of_the_weights(tune, photos, tmp_path):
    start = write_source(
        tmp_path / "large", channels=3, input_size=[3, 72, 72], interpolation="bicubic"
    )
    for number, path in enumerate(photos.glob("*/*.png")):  # so that they count as photos
        Image.open(path).resize((80 + number % 7, 90)).save(path)
    run = tune(data=photos, start=start, epochs=1)
    assert photo_size(run) == (72, 72)
    assert load_model(run.path).preprocessing.interpolation == "bicubic"
    assert striate.evaluate(run.path).to_json() == run.test
    assert resume(run.path).test == run.test
    small = tune("small", data=photos, start=start, epochs=1, data__size=16)
    assert photo_size(small) == (16, 16)
    chosen = tune("chosen", data=photos, start=start, epochs=1, data__photo_size=40)
    assert photo_size(chosen) == (40, 40)


# what is refused


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"transfer__freeze": 4}, UsageError, r"4 stages .* the net has 3 .*1 conv1..relu1"),
        ({"stop__restarts": 2}, RecipeError, "transfer.weights are one start"),
        ({"net": "conv3-4 relu gap fc-3"}, ModelError, "has no tensor 'conv1.bias'"),
        ({"net": "auto"}, UsageError, "of no net of the zoo .*--net resnet50"),
        ({"net": NET.replace("maxpool2", "maxpool4")}, NetError, "as with --size 8"),
        ({"transfer__rate": 0}, RecipeError, "transfer.rate should be greater than 0"),
    ],
)
def test_what_cannot_be_is_one_clear_line(settings, error, message, tune):
    with pytest.raises(error, match=message):
        tune(**settings)


@pytest.mark.parametrize("name", ["freeze", "rate"])
def test_without_weights_their_settings_have_no_effect(name, tiny_data):
    with pytest.raises(RecipeError, match="transfer has no effect without transfer.weights"):
        train(tiny_data, settings={f"transfer.{name}": 1})


def test_a_checkpoint_of_other_weights_is_refused(tune, weights):
    run = tune()
    document = json.loads((run.path / "run.json").read_text())
    document["weights"]["sha256"] = "0" * 64
    (run.path / "run.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="belongs to another run: weights"):
        resume(run.path)


@pytest.mark.parametrize("damage", [[], {"source": 1}, "x"])
def test_a_damaged_record_of_the_weights_is_one_line(damage, tune):
    run = tune()
    document = json.loads((run.path / "run.json").read_text())
    document["weights"] = damage
    (run.path / "run.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="its run.json has no usable") as caught:
        resume(run.path)
    assert "\n" not in str(caught.value)


def test_the_estimator_starts_from_weights_too(tiny_data, weights):
    with np.load(tiny_data) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    settings = {"transfer.weights": str(weights), "transfer.freeze": 3, "batch_size": 16}
    classifier = ImageClassifier(net=NET, epochs=1, settings=settings).fit(images, labels)
    assert classifier.model_.preprocessing.mean == (MEAN,)
    state = classifier.model_.module.state_dict()
    assert torch.equal(state["layers.conv1.weight"], source_state(weights)["layers.conv1.weight"])
