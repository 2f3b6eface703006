"""Evaluating a saved model: on its own test images, on other data, and when either has changed."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import TEST, Data, load_data
from striate.errors import DataError, ModelError, StriateWarning, UsageError
from striate.evaluation import view_logits
from striate.jobs.evaluate import evaluate
from striate.jobs.predict import predict
from striate.model import Model
from striate.nets import parse_net

CLASSES = ("ash", "beech", "oak")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def leaves(tmp_path):
    """A folder with twelve pictures a class, of mixed sizes and formats."""
    generator = np.random.default_rng(0)
    for place, name in enumerate(CLASSES):
        folder = tmp_path / "leaves" / name
        folder.mkdir(parents=True)
        for number in range(12):
            size = tuple(generator.integers(20, 50, 2))
            picture = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
            picture[..., place] |= 128
            ending = ("png", "jpg")[number % 2]
            Image.fromarray(picture).save(folder / f"{number}.{ending}")
    return tmp_path / "leaves"


def make_model(data, classes=None):
    torch.manual_seed(0)
    net = parse_net(f"conv3-8 relu gap fc-{len(data.classes)}")
    module = net.build(data.images.shape[1:])
    return Model(
        module.net, module, tuple(classes or data.classes), data.preprocessing, temperature=0.8
    )


@pytest.fixture
def run(tmp_path, leaves):
    """What a finished run on the leaves leaves behind, as far as evaluation reads it."""
    data = load_data(leaves, size=16).split(seed=1)
    folder = tmp_path / "run"
    folder.mkdir()
    make_model(data).save(folder / "model.safetensors")
    (folder / "split.csv").write_text(data.manifest(), encoding="utf-8")
    record = {"source": str(leaves), "manifest_hash": data.manifest_hash}
    document = {"data": record, "recipe": {"data": {"size": 16, "resize": "squash"}}}
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def change_run(folder, **changes):
    document = json.loads((folder / "run.json").read_text())
    document["data"] |= changes
    (folder / "run.json").write_text(json.dumps(document))


@pytest.mark.parametrize("target", ["", "model.safetensors"])
def test_a_run_is_measured_on_its_own_test_images(run, leaves, target):
    found = evaluate(run / target)
    data = load_data(leaves, size=16).split(seed=1)
    assert found.images == len(data.indices(TEST)) > 0
    assert found.temperature == 0.8
    assert [figures.name for figures in found.classes] == list(CLASSES)


def test_predictions_on_the_files_are_those_on_the_stored_pixels(run, leaves):
    data = load_data(leaves, size=16).split(seed=1)
    chosen = data.indices(TEST)
    predictions = predict(run, [leaves / data.names[index] for index in chosen])
    labels = [data.classes[label] for label in data.labels[chosen]]
    right = np.mean([p.label == label for p, label in zip(predictions, labels, strict=True)])
    found = evaluate(run)
    assert right == found.accuracy
    loss = -np.mean(
        [np.log(p.probabilities[label]) for p, label in zip(predictions, labels, strict=True)]
    )
    assert loss == pytest.approx(found.loss, rel=1e-6)


def test_other_data_is_used_whole_where_it_names_no_test_images(run, leaves):
    assert evaluate(run, leaves).images == 36
    assert evaluate(run, str(leaves), views=10).views == 10


def test_other_data_is_used_by_its_test_images_where_it_names_some(run, leaves):
    data = load_data(leaves, size=16).split(seed=5)
    assert evaluate(run, data).images == len(data.indices(TEST))


def test_classes_are_matched_by_name(run, leaves):
    whole = evaluate(run, leaves)
    (leaves / "ash").rename(leaves.parent / "ash")
    part = evaluate(run, leaves)
    assert [figures.support for figures in part.classes] == [0, 12, 12]
    assert part.confusion[1:] == whole.confusion[1:]


def test_an_unknown_class_is_named(run, leaves):
    (leaves / "oak").rename(leaves / "elm")
    with pytest.raises(DataError, match=r"does not know the class 'elm' \(it knows 'ash', 'beech'"):
        evaluate(run, leaves)


def test_changed_images_are_noticed(run, leaves):
    Image.new("RGB", (9, 9)).save(leaves / "oak" / "0.png")
    with pytest.raises(DataError, match="have changed since the run"):
        evaluate(run)


def test_a_split_of_other_images_is_noticed(run):
    lines = (run / "split.csv").read_text().splitlines(keepends=True)
    (run / "split.csv").write_text("".join([lines[0], *lines[2:]]))
    with pytest.raises(ModelError, match="names other images"):
        evaluate(run)


@pytest.mark.parametrize("content", ["", "name,label,split\na,b,maybe\n", "\udcff", None])
def test_a_split_that_is_none_is_refused(run, content):
    (run / "split.csv").unlink()
    if content is not None:
        (run / "split.csv").write_text(content, errors="surrogateescape")
    with pytest.raises(ModelError, match=r"split\.csv"):
        evaluate(run)


def test_a_run_without_test_images_says_so(run):
    text = (run / "split.csv").read_text().replace(",test\n", ",train\n")
    (run / "split.csv").write_text(text)
    with pytest.raises(DataError, match="kept no test images"):
        evaluate(run)


def test_a_run_on_arrays_needs_data(run):
    change_run(run, source=None)
    with pytest.raises(UsageError, match="was trained on arrays"):
        evaluate(run)


def test_a_run_without_its_facts_is_refused(run):
    (run / "run.json").write_text('{"data": 5}')
    with pytest.raises(ModelError, match=r"run\.json has no usable"):
        evaluate(run)


def test_a_model_alone_needs_data(run, leaves, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (run / "model.safetensors").rename(alone / "m.safetensors")
    with pytest.raises(UsageError, match="there is no data to evaluate on"):
        evaluate(alone / "m.safetensors")
    data = load_data(leaves, size=16)
    with pytest.raises(UsageError, match="there is no data"):
        evaluate(make_model(data))
    assert evaluate(alone / "m.safetensors", leaves).images == 36


def test_views_are_counted_before_anything_is_loaded(tmp_path):
    with pytest.raises(UsageError, match="3 views"):
        evaluate(tmp_path / "absent", views=3)
    with pytest.raises(UsageError, match="a share of 2 unsure"):
        evaluate(tmp_path / "absent", views=2, unsure=2)


def arrays(channels, count=8, size=16, mirror=None):
    generator = np.random.default_rng(0)
    shape = (count, size, size, channels)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    data = Data.from_arrays(images, np.arange(count) % 3, classes=CLASSES)
    object.__setattr__(data, "mirror", mirror)
    return data


def test_the_share_of_unsure_images_is_stated_where_it_counts():
    data = arrays(3, mirror=True)
    model = make_model(data)
    found = evaluate(model, data, views=6, unsure=0.25)
    logits = view_logits(model, data.images, views=6, unsure=0.25)
    assert found.unsure == 0.25
    assert found.accuracy == np.mean(logits.argmax(axis=1) == data.labels)
    assert found.loss != evaluate(model, data, views=6).loss


@pytest.mark.parametrize("views", [2, 10])
def test_mirrored_digits_are_warned_of(views):
    data = arrays(1, mirror=False)
    with pytest.warns(StriateWarning, match=f"changes its class, and {views} views"):
        evaluate(make_model(data), data, views=views)


def test_one_view_and_mirrored_photos_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = arrays(3, mirror=False)
        evaluate(make_model(data), data, views=1)
        data = arrays(3, mirror=True)
        evaluate(make_model(data), data, views=2)


def test_grey_images_suit_a_model_of_colour_ones():
    grey, colour = arrays(1), arrays(3)
    model = make_model(colour)
    same = Data.from_arrays(np.repeat(grey.images, 3, axis=3), grey.labels, classes=CLASSES)
    assert evaluate(model, grey) == evaluate(model, same)


@pytest.mark.parametrize(("channels", "size"), [(3, 16), (1, 17)])
def test_images_that_do_not_fit_are_refused(channels, size):
    model = make_model(arrays(1))
    with pytest.raises(DataError, match="and the model takes 16x16x1"):
        evaluate(model, arrays(channels, size=size))
