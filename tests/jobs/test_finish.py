"""The end of a run: which weights are kept, and what is said of them."""

import csv
import json

import numpy as np
import pytest

import striate
from striate.data import TEST, VALIDATION, load_data
from striate.evaluation import evaluate_logits, softmax, view_logits
from striate.jobs.evaluate import evaluate
from striate.model import load_tensors
from striate.training.checkpoint import list_checkpoints
from striate.training.folder import read_measurements


def rows_of(run):
    with (run.path / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_saved_model(finished_run, tiny_data):
    model, data = striate.load_model(finished_run.path), load_data(tiny_data).split()
    for split, document in ((VALIDATION, finished_run.validation), (TEST, finished_run.test)):
        places = data.indices(split)
        found = evaluate_logits(
            view_logits(model, data.images, indices=places),
            data.labels[places],
            data.classes,
            views=1,
            temperature=model.temperature,
        )
        assert found.to_json() == document
    written = json.loads((finished_run.path / "evaluation.json").read_text())
    assert written["validation"] == finished_run.validation
    assert written["test"] == finished_run.test


def test_evaluate_gives_the_runs_own_figures(finished_run):
    assert evaluate(finished_run.path).to_json() == finished_run.test


@pytest.mark.parametrize("views", [2, 10])
def test_with_several_views_too(views, train_tiny):
    run = train_tiny(views=views, epochs=2)
    assert run.test["views"] == views
    assert evaluate(run.path, views=views).to_json() == run.test


def test_predictions_are_those_of_the_saved_model(finished_run, tiny_data):
    model, data = striate.load_model(finished_run.path), load_data(tiny_data).split()
    rows = rows_of(finished_run)
    assert list(rows[0]) == [
        "index",
        "name",
        "split",
        "label",
        "predicted",
        "probability",
        "label_probability",
    ]
    places = np.array([int(row["index"]) for row in rows])
    expected = np.concatenate([data.indices(VALIDATION), data.indices(TEST)])
    assert places.tolist() == expected.tolist()
    said = model.predict(list(data.images[places]))
    for row, place, prediction in zip(rows, places, said, strict=True):
        assert row["name"] == data.names[place]
        assert row["label"] == data.classes[data.labels[place]]
        assert row["predicted"] == prediction.label
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=2e-6)
        chance = prediction.probabilities[row["label"]]
        assert float(row["label_probability"]) == pytest.approx(chance, abs=2e-6)
    right = [row["label"] == row["predicted"] for row in rows if row["split"] == "test"]
    assert np.mean(right) == finished_run.test["accuracy"]


def test_files_are_predicted_as_they_were_evaluated(photos, train_tiny):
    run = train_tiny(data=photos, data__size=12, epochs=2)
    model = striate.load_model(run.path)
    rows = rows_of(run)
    said = model.predict([photos / row["name"] for row in rows])
    for row, prediction in zip(rows, said, strict=True):
        assert row["predicted"] == prediction.label
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=2e-6)


def test_the_temperature_is_fitted_on_validation(finished_run, tiny_data):
    written = json.loads((finished_run.path / "evaluation.json").read_text())["calibration"]
    model, data = striate.load_model(finished_run.path), load_data(tiny_data).split()
    assert written["temperature"] == model.temperature != 1
    places = data.indices(VALIDATION)
    logits, labels = view_logits(model, data.images, indices=places), data.labels[places]

    def loss(temperature):
        shares = softmax(logits, temperature=temperature)
        return -np.log(shares[np.arange(len(labels)), labels]).mean()

    assert loss(model.temperature) < loss(1.0)
    assert written["ece_after"] == pytest.approx(finished_run.validation["ece"])
    assert written["ece_before"] == pytest.approx(finished_run.validation["ece_uncalibrated"])


def test_the_best_weights_by_validation_are_saved(train_tiny):
    run = train_tiny(epochs=12, optimizer__lr=2.0, schedule__name="constant")
    losses = [line["validation_loss"] for line in read_measurements(run.path)]
    assert run.validation["loss_uncalibrated"] == pytest.approx(min(losses), rel=1e-5)


def test_without_validation_the_last_weights_are_saved(train_tiny):
    run = train_tiny(data__validation=0, epochs=3)
    assert run.validation is None
    written = json.loads((run.path / "evaluation.json").read_text())
    assert written["validation"] is None
    assert written["calibration"] == {"temperature": 1.0, "ece_before": None, "ece_after": None}
    assert {row["split"] for row in rows_of(run)} == {"test"}
    saved, _ = load_tensors(run.model)
    last, _ = load_tensors(list_checkpoints(run.path / "checkpoints")[0])
    for name, tensor in striate.load_model(run.path).module.state_dict().items():
        assert np.array_equal(tensor, last[f"module/{name}"])
    assert len(saved) > 0


def test_without_test_images_there_is_no_test(train_tiny):
    run = train_tiny(data__test=0, epochs=1)
    assert run.test is None
    assert run.validation is not None
    assert {row["split"] for row in rows_of(run)} == {"validation"}


def test_averaged_weights_are_the_ones_saved(train_tiny):
    run = train_tiny(
        data__validation=0, average__name="ema", average__every=1, average__decay=0.9, epochs=3
    )
    last, _ = load_tensors(list_checkpoints(run.path / "checkpoints")[0])
    for name, tensor in striate.load_model(run.path).module.state_dict().items():
        assert np.array_equal(tensor, last[f"average/held/{name}"])
        assert not np.array_equal(tensor, last[f"module/{name}"])


def test_the_model_says_where_it_comes_from(finished_run):
    provenance = striate.load_model(finished_run.path).provenance
    assert set(provenance) == {"run", "created", "manifest_hash", "seed", "versions"}
    assert (provenance["run"], provenance["seed"]) == ("run", 0)
