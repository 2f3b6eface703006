"""`striate predict`: the table, the document, the CSV and the exit status."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from striate.cli import run
from striate.data import Preprocessing
from striate.model import Model, load_model
from striate.nets import parse_net

CLASSES = ("cat", "dog", "[bold]eel[/bold]", "ewe")


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    net = parse_net("conv3-8 relu fc-4")
    module = net.build((8, 8, 3))
    model = Model(module.net, module, CLASSES, Preprocessing(size=(8, 8), channels=3), 0.5)
    model.save(tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def photos(tmp_path):
    generator = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png", "[red]c\n.png"):
        Image.fromarray(generator.integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_the_table_names_image_class_and_probability(path, photos, capsys):
    assert run(["predict", path, str(photos / "a.png"), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    (prediction,) = load_model(path).predict(photos / "a.png")
    assert "a.png" in out
    assert prediction.label in out
    assert f"{prediction.probability:.1%}" in out
    assert err == ""


def test_markup_and_control_characters_in_names_are_shown_as_they_are(path, photos, capsys):
    assert run(["predict", path, str(photos)]) == 0
    out = capsys.readouterr().out.replace("\n", "")
    assert "[red]c\\n.png" in out


def test_the_document_has_the_designed_keys(path, photos, capsys):
    assert run(["predict", path, str(photos), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"predictions"}
    found = load_model(path).predict(photos)
    assert document["predictions"] == [prediction.to_json() for prediction in found]


def test_an_unreadable_image_ends_in_status_3_after_the_rest(path, photos, capsys):
    (photos / "bad.png").write_text("hello")
    assert run(["predict", path, str(photos), "--json"]) == 3
    out, err = capsys.readouterr()
    entries = json.loads(out)["predictions"]
    assert len(entries) == 4
    assert [set(entry) for entry in entries].count({"path", "error"}) == 1
    assert err.count("\n") == 1
    assert "bad.png: it is text" in err


def test_the_table_lists_an_unreadable_image(path, photos, capsys):
    (photos / "bad.png").write_text("hello")
    assert run(["predict", path, str(photos)]) == 3
    assert "unreadable" in capsys.readouterr().out


def test_the_csv_holds_every_probability(path, photos, tmp_path, capsys):
    (photos / "bad.png").write_text("hello")
    assert run(["predict", path, str(photos), "--csv", str(tmp_path / "out.csv")]) == 3
    capsys.readouterr()
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        if "bad.png" in row["path"]:
            assert row["error"]
            assert row["label"] == row["cat"] == ""
        else:
            shares = [float(row[name]) for name in CLASSES]
            assert sum(shares) == pytest.approx(1)
            assert row["label"] == CLASSES[int(np.argmax(shares))]
            assert float(row["probability"]) == max(shares)


def test_a_csv_that_cannot_be_written_is_said(path, photos, tmp_path, capsys):
    assert run(["predict", path, str(photos), "--csv", str(tmp_path / "absent" / "o.csv")]) == 6
    assert "cannot be written" in capsys.readouterr().err


def test_a_folder_without_images_is_status_3(path, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(["predict", path, str(tmp_path / "empty")]) == 3
    assert "no images were found" in capsys.readouterr().err
    assert run(["predict", path, str(tmp_path / "empty"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {"predictions": []}


def test_a_run_folder_stands_for_its_model(path, photos, tmp_path, capsys):
    assert run(["predict", str(tmp_path), str(photos / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] in CLASSES


def test_a_missing_model_is_status_4(photos, tmp_path, capsys):
    assert run(["predict", str(tmp_path / "absent"), str(photos), "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["kind"] == "model"
    assert "No such file" in err


def test_an_unknown_device_is_status_2(path, photos, capsys):
    assert run(["predict", path, str(photos), "--device", "abacus"]) == 2
    assert "unknown device" in capsys.readouterr().err
