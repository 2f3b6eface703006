"""The saved model: the same predictions after a trip through its file, on any way in."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.decode import decode_image
from striate.data.preprocessing import Preprocessing
from striate.errors import DataError, ModelError
from striate.model import Model, Prediction, Unreadable, load_model
from striate.nets import load_net, parse_net, zoo_nets

NETS = [
    "conv3-4 bn relu maxpool2 fc-3",
    "whiten2 gelu [conv3-8b0 maxpool2 bnw0m0.4 gelu] gap fc-3b0 scale1/256",
    "local3-4 relu dropout0.5 fc-3",
    "fc-3",
    "gap conv1-3",
    "(conv3-4 | conv1-4 | skip) ln gap fc-3",
    "maxpool2 conv3-3 unpool2 lrn fc-3",
    "[(conv3-3 bn + skip) relu]*2 gap fc-3",
]


def make_model(
    text="conv3-4 bn relu gap fc-3", *, size=(8, 8), channels=3, resize="squash", seed=0
):
    torch.manual_seed(seed)
    net = parse_net(text)
    module = net.build((*size, channels))
    for name, tensor in module.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)
    preprocessing = Preprocessing(size=size, channels=channels, resize=resize)
    return Model(
        net=module.net,
        module=module,
        classes=("cat", "dog", "<b>émeu</b>"),
        preprocessing=preprocessing,
        temperature=0.7,
        provenance={"run": "r-1", "versions": {"torch": "2"}},
    )


def pixels(count=5, size=(8, 8), channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), dtype=np.uint8)


@pytest.mark.parametrize("text", NETS)
def test_every_kind_of_net_comes_back_from_its_file(tmp_path, text):
    model = make_model(text)
    model.module.train()
    digest = model.save(tmp_path / "m.safetensors")
    state = torch.get_rng_state()
    loaded = load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert len(digest) == 64
    assert not loaded.module.training
    assert np.array_equal(loaded.logits(pixels()), model.logits(pixels()))
    assert model.module.training
    for name in ("net", "classes", "preprocessing", "temperature", "provenance", "input"):
        assert getattr(loaded, name) == getattr(model, name)


CLASSIFIERS = [entry for entry in zoo_nets() if not entry.name.startswith("autoencoder")]


@pytest.mark.parametrize("entry", CLASSIFIERS, ids=lambda entry: entry.name)
def test_every_net_of_the_zoo_comes_back(tmp_path, entry):
    net = load_net(entry.name).with_classes(3)
    size = net.input or (32, 32, 3)
    if net.summary(size).parameters > 30_000_000:
        pytest.skip("too large for a quick test")
    model = make_model(net.text, size=size[:2], channels=size[2])
    model.save(tmp_path / "m")
    before, after = model.module.state_dict(), load_model(tmp_path / "m").module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_run_folder_stands_for_its_best_model(tmp_path):
    make_model().save(tmp_path / "model.safetensors")
    assert load_model(tmp_path).classes[0] == "cat"


def test_logits_do_not_depend_on_the_batch_and_match_the_module():
    model = make_model()
    images = pixels(7)
    whole = model.logits(images)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(model.logits(images, batch_size=3), whole, atol=1e-6)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    expected = model.module.eval()((x - 0.5) / 0.25).detach().numpy()
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    np.testing.assert_allclose(model.logits(images, precision="bf16"), whole, atol=0.1)
    assert model.logits(images[:0]).shape == (0, 3)


def test_logits_of_a_memory_map(tmp_path):
    np.save(tmp_path / "images.npy", pixels())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    model = make_model()
    assert np.array_equal(model.logits(mapped), model.logits(pixels()))


def test_a_net_without_weights_has_logits(tmp_path):
    model = make_model("gap identity")
    model.save(tmp_path / "m")
    assert load_model(tmp_path / "m").logits(pixels()).shape == (5, 3)


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"uint8 \[1, 9, 8, 3\].*\(N, 8, 8, 3\)"):
        make_model().logits(pixels(1, size=(9, 8)))
    with pytest.raises(DataError, match="float64"):
        make_model().logits(pixels(1).astype(float))


def test_predictions_are_calibrated_and_sum_to_one():
    model = make_model()
    found = model.predict(pixels())
    logits = model.logits(pixels()).astype(np.float64) / 0.7
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for prediction, row in zip(found, expected, strict=True):
        assert isinstance(prediction, Prediction)
        assert list(prediction.probabilities) == list(model.classes)
        np.testing.assert_allclose(list(prediction.probabilities.values()), row, rtol=1e-6)
        assert prediction.label == model.classes[row.argmax()]
        assert prediction.probability == pytest.approx(row.max())


def test_arrays_of_another_size_are_resized_and_others_refused():
    model = make_model()
    big = pixels(1, size=(16, 20))[0]
    assert model.predict(big)[0].path is None
    grey = make_model(channels=1)
    two, three = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8)
    assert grey.predict(two) == grey.predict([three])
    for wrong in (big.astype(float), big[..., :2], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(DataError, match="is no image for this model"):
            model.predict([wrong])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for place, name in enumerate(("z.png", "b/y.jpg", "b/deep/x.gif", "a.PNG", "plain", ".no.png")):
        image = Image.fromarray(pixels(1, size=(20, 30), seed=place)[0])
        image.save(folder / name, format="JPEG" if name.endswith("jpg") else "PNG")
    (folder / "notes.txt").write_text("no image")
    (folder / "Thumbs.db").write_text("no image")
    (folder / ".hidden" / "h.png").write_text("no image")
    return folder


def test_a_folder_is_walked_in_order_and_its_other_files_passed_over(photos):
    found = make_model().predict(photos)
    names = [prediction.path.removeprefix(f"{photos}/") for prediction in found]
    assert names == ["a.PNG", "plain", "z.png", "b/y.jpg", "b/deep/x.gif"]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_file_is_seen_as_in_training(photos, resize):
    model = make_model(resize=resize)
    store = np.stack(
        [decode_image(photos / name, model.preprocessing) for name in ("a.PNG", "z.png")]
    )
    rows = model.probabilities(model.logits(store))
    found = model.predict([photos / "a.PNG", str(photos / "z.png")])
    for prediction, row in zip(found, rows.tolist(), strict=True):
        assert list(prediction.probabilities.values()) == row


def test_a_rotated_photo_is_turned_as_in_training(tmp_path):
    upright = Image.fromarray(
        np.repeat(np.arange(0, 240, 10, np.uint8)[:, None, None], 3, 2).repeat(8, 1)
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn right to see it"
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    turned, plain = make_model().predict([tmp_path / "turned.png", tmp_path / "upright.png"])
    assert turned.probabilities == plain.probabilities


def test_an_unreadable_image_does_not_stop_the_rest(photos):
    (photos / "bad.png").write_text("hello")
    items = [photos / "a.PNG", photos / "bad.png", photos / "absent.jpg", "nul\0", photos / "z.png"]
    good, bad, absent, nul, last = make_model().predict(items)
    assert isinstance(good, Prediction)
    assert isinstance(last, Prediction)
    for entry in (bad, absent, nul):
        assert isinstance(entry, Unreadable)
        assert entry.error
        assert set(entry.to_json()) == {"path", "error"}
    assert make_model().predict([photos / "bad.png"]) == [bad]


def test_entries_have_the_designed_keys(photos):
    entry = json.loads(json.dumps(make_model().predict(photos)[0].to_json()))
    assert set(entry) == {"path", "label", "probability", "probabilities"}
    assert set(entry["probabilities"]) == {"cat", "dog", "<b>émeu</b>"}
    assert make_model().predict(pixels(1))[0].to_json()["path"] is None


def test_names_are_escaped_in_documents(photos):
    (photos / "a.PNG").rename(photos / "a\n\x1b[2J.png")
    entry = make_model().predict(photos)[0]
    assert entry.path.endswith("a\n\x1b[2J.png")
    assert (
        entry.to_json()["path"].endswith("a\\n\\x1b[2J.png") or "\n" not in entry.to_json()["path"]
    )


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    model = make_model()
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    next(model.module.parameters()).data[0] = torch.nan
    with pytest.raises(ModelError, match="NaN or infinity; nothing was saved"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4, unique=True),
    st.floats(1e-3, 1e3),
    st.dictionaries(st.text(), st.text() | st.integers() | st.none()),
)
def test_any_classes_and_provenance_come_back(tmp_path_factory, classes, temperature, provenance):
    path = tmp_path_factory.mktemp("any") / "m"
    net = parse_net(f"gap fc-{len(classes)}")
    preprocessing = Preprocessing(size=(2, 3), channels=1, mean=(0.1,), std=(1 / 3,))
    model = Model(net, net.build((2, 3, 1)), tuple(classes), preprocessing, temperature, provenance)
    model.save(path)
    loaded = load_model(path)
    assert loaded.classes == tuple(classes)
    assert loaded.temperature == temperature
    assert loaded.preprocessing == preprocessing
    assert loaded.provenance == provenance


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_that_has_predicted_can_be_copied(copied):
    net = parse_net("input 8x8x3 conv3-4 bn relu conv3-4 relu fc-2")
    preprocessing = Preprocessing(size=(8, 8), channels=3)
    model = Model(net=net, module=net.build(), classes=("a", "b"), preprocessing=preprocessing)
    image = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    expected = model.logits(image)
    np.testing.assert_allclose(copied(model).logits(image), expected, rtol=1e-5)
