"""The main job: the files it leaves, the choices it records, the ways to ask for it."""

import csv
import json
import sys

import numpy as np
import pytest
import torch

import striate
from striate.data import TEST, TRAIN, VALIDATION, Data, load_data
from striate.errors import DataError, NetError, RecipeError, ResourceError, UsageError
from striate.jobs.train import train
from striate.model import hash_tensors, load_tensors
from striate.nets import parse_net
from striate.training.folder import read_measurements, read_run
from striate.training.recipe import Recipe, load_recipe, recipe_from_json, recipe_names

FILES = {
    "checkpoints",
    "evaluation.json",
    "lock",
    "log.txt",
    "metrics.jsonl",
    "model.safetensors",
    "predictions.csv",
    "report.html",
    "run.json",
    "split.csv",
}
RESULT = {
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
}
EVALUATION = {"images", "accuracy", "interval", "loss", "ece", "views", "classes", "confusion"}


def test_the_run_folder_holds_what_the_design_says(finished_run):
    assert {path.name for path in finished_run.path.iterdir()} == FILES
    assert finished_run.model == finished_run.path / "model.safetensors"
    assert finished_run.report == finished_run.path / "report.html"


def test_the_document_of_a_run_has_the_designed_keys(finished_run):
    document = finished_run.to_json()
    assert set(document) == RESULT
    json.dumps(document, allow_nan=False)
    for split in ("validation", "test"):
        assert set(document[split]) >= EVALUATION
        assert set(document[split]["classes"][0]) == {
            "name",
            "precision",
            "recall",
            "f1",
            "support",
        }
    assert document["stopped"] == "finished"
    assert (document["epochs"], document["steps"]) == (4, 36)
    assert document["images_per_second"] == pytest.approx(36 * 16 / document["seconds"])


def test_run_json_records_every_choice(finished_run, tiny_data):
    document = read_run(finished_run.path)
    data = load_data(tiny_data).split()
    assert set(document) == {
        "format",
        "status",
        "created",
        "command",
        "data",
        "net",
        "recipe",
        "seed",
        "device",
        "precision",
        "threads",
        "weights",
        "versions",
        "machine",
        "notes",
        "result",
    }
    assert document["data"] == {
        "source": str(tiny_data),
        "name": "tiny",
        "manifest_hash": data.manifest_hash,
        "classes": ["0", "1", "2"],
        "counts": {"train": 147, "validation": 16, "test": 29},
        "size": [8, 8, 1],
        "mirror": None,
        "problems": [],
    }
    assert document["status"] == "finished"
    assert document["result"] == finished_run.to_json()
    assert parse_net(document["net"]).text == document["net"] == finished_run.net
    recipe = recipe_from_json(document["recipe"])
    assert (recipe.epochs, recipe.batch_size, recipe.augment.flip) == (4, 16, "none")
    assert (document["device"], document["precision"]) == ("cpu", "fp32")
    assert document["versions"]["striate"] == "0.1.0"


def test_what_python_ran_is_recorded(finished_run):
    assert read_run(finished_run.path)["command"] == sys.orig_argv


def test_every_choice_is_said_and_logged(train_tiny, heard):
    run = train_tiny(events=heard, net="auto", batch_size="auto", precision="auto")
    assert read_run(run.path)["notes"] == heard.said
    log = (run.path / "log.txt").read_text()
    for said in ("the whitened net", "batch size 32", "not mirrored", "too small to gain"):
        assert said in log
        assert any(said in text for text in heard.said)


def test_the_split_is_written_down(finished_run, tiny_data):
    data = load_data(tiny_data).split()
    with (finished_run.path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(data.names)
    written = [{"train": TRAIN, "validation": VALIDATION, "test": TEST}[r["split"]] for r in rows]
    assert written == data.splits.tolist()


def test_metrics_are_a_line_an_epoch(finished_run):
    lines = read_measurements(finished_run.path)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[0]) == {
        "epoch",
        "step",
        "restart",
        "seconds",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
        "images_per_second",
    }
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)


def test_a_run_is_a_function_of_data_recipe_and_seed(train_tiny):
    first, again, other = (train_tiny(out=f"{s}{n}", seed=s) for n, s in enumerate((3, 3, 4)))
    assert first.model.read_bytes() != other.model.read_bytes()
    names = ("predictions.csv", "evaluation.json", "split.csv")
    for name in names:
        assert (first.path / name).read_bytes() == (again.path / name).read_bytes()
    models = [striate.load_model(run.path) for run in (first, again)]
    states = [model.module.state_dict() for model in models]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_named_recipe_trains(recipe, train_tiny):
    changes = {} if recipe != "lecture" else {"optimizer__lr": 0.3}
    run = train_tiny(recipe=recipe, net="auto", epochs=12, **changes)
    assert run.test["accuracy"] > 0.9


def test_mirrored_views_are_taken_only_where_training_mirrors(train_tiny):
    assert train_tiny(recipe="thorough", epochs=1).test["views"] == 1
    mirrored = train_tiny(recipe="thorough", epochs=1, out="m", augment__flip="random")
    assert mirrored.test["views"] == 2


def test_a_recipe_may_be_a_file_or_an_object(tiny_data, tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 1\nbatch_size = 50\n")
    recipes = (tmp_path / "mine.toml", Recipe(epochs=1, batch_size=50))
    for place, recipe in enumerate(recipes):
        run = train(tiny_data, net="fc-3", recipe=recipe, out=tmp_path / str(place))
        assert (run.epochs, run.steps) == (1, 2)


def test_fields_may_be_named_in_python(tiny_data, tmp_path):
    run = train(tiny_data, net="fc-3", out=tmp_path / "run", epochs=2, stop={"restarts": 2})
    assert (run.epochs, read_run(run.path)["recipe"]["stop"]["restarts"]) == (4, 2)


def test_a_net_may_be_a_text_a_name_a_file_or_an_object(train_tiny, tmp_path):
    (tmp_path / "mine.net").write_text("# mine\nbody = conv3-4 relu\nbody gap fc-10\n")
    nets = ["conv3-4 relu gap fc-3", "mlp16", str(tmp_path / "mine.net"), parse_net("fc-10")]
    texts = [train_tiny(net=net, out=str(n), epochs=1).net for n, net in enumerate(nets)]
    assert texts[0] == "input 8x8x1 conv3-4 relu gap fc-3"
    assert "fc-16" in texts[1]
    assert texts[2] == "input 8x8x1\nbody = conv3-4 relu\nbody gap fc-3"
    assert texts[3] == "input 8x8x1 fc-3"


def test_arrays_and_data_train_alike(tiny_data, train_tiny):
    with np.load(tiny_data) as arrays:
        pair = arrays["images"], arrays["labels"]
    runs = [
        train_tiny(data=source, out=str(place))
        for place, source in enumerate((tiny_data, pair, Data.from_arrays(*pair)))
    ]
    assert len({json.dumps(run.test) for run in runs}) == 1
    assert [read_run(run.path)["data"]["source"] for run in runs] == [str(tiny_data), None, None]


def test_the_size_of_loaded_data_is_recorded(photos, train_tiny):
    run = train_tiny(data=load_data(photos, size=12, resize="crop"), epochs=1)
    choices = read_run(run.path)["recipe"]["data"]
    assert (choices["size"], choices["resize"]) == (12, "crop")
    assert striate.evaluate(run.path).to_json() == run.test


def test_another_size_of_loaded_data_is_refused(tiny_data, train_tiny):
    with pytest.raises(RecipeError, match="data.size 32 was asked for.*give the size to load_data"):
        train_tiny(data=load_data(tiny_data), data__size=32)


def test_patience_and_time_are_said_in_the_result(train_tiny):
    crawl = {"optimizer__name": "sgd", "optimizer__lr": 1e-9}
    run = train_tiny(out="p", epochs=100, stop__patience=2, **crawl)
    assert (run.stopped, read_run(run.path)["status"]) == ("patience", "patience")
    assert run.epochs == len(read_measurements(run.path)) < 10
    run = train_tiny(out="t", epochs=10_000, stop__seconds=0.2)
    assert (run.stopped, read_run(run.path)["status"]) == ("time", "time")
    assert run.seconds < 1


def test_a_field_is_given_once(tiny_data, tmp_path):
    with pytest.raises(UsageError, match="epochs is given twice"):
        train(tiny_data, out=tmp_path / "run", epochs=5, settings={"epochs": 7})


def test_the_first_weights_do_not_depend_on_the_callers_threads(train_tiny):
    whitened = "whiten2 gelu conv3-4 maxpool2 fc-3"
    before, hashes = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            run = train_tiny(net=whitened, out=str(threads), epochs=1)
            assert torch.get_num_threads() == threads
            hashes.add(hash_tensors(load_tensors(run.model)[0]))
    finally:
        torch.set_num_threads(before)
    assert len(hashes) == 1


def test_without_out_runs_are_numbered(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [train(tiny_data, net="fc-3", epochs=1).path for _ in range(2)]
    assert [str(path) for path in paths] == ["runs/tiny-1", "runs/tiny-2"]


def test_a_name_that_no_folder_may_have_becomes_one_that_it_may(tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.load(tiny_data) as arrays:
        data = Data.from_arrays(arrays["images"], arrays["labels"], name="../a b/\x1b[2J")
    assert str(train(data, net="fc-3", epochs=1).path) == "runs/--2J-1"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"net": "conv3-4 mapxpool2 fc-3"}, NetError),
        ({"net": "conv9-4p0 fc-3"}, NetError),
        ({"net": "conv3-4 relu gap"}, NetError),
        ({"recipe": "slow"}, RecipeError),
        ({"settings": {"optimizer.lrr": 1}}, RecipeError),
        ({"device": "abacus"}, UsageError),
        ({"data": "no-such-data"}, DataError),
        ({"net": "gap bn fc-3", "batch_size": 1}, UsageError),
    ],
)
def test_what_cannot_be_done_leaves_no_folder(arguments, error, tiny_data, tmp_path):
    data = arguments.pop("data", tiny_data)
    with pytest.raises(error):
        train(data, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_batch_of_one_image_that_cannot_be_normalised_is_refused(train_tiny):
    with pytest.raises(UsageError, match="batches of one image leave bn one value a channel"):
        train_tiny(net="fc-8 bn relu fc-3", batch_size=1)
    assert train_tiny(net="conv3-4 bn relu gap fc-3", batch_size=1, epochs=1).steps == 147


def test_a_run_that_failed_before_it_began_can_be_begun_again(train_tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("striate.jobs.train.CHECKPOINTS_THAT_MUST_FIT", 10**12)
        with pytest.raises(ResourceError):
            train_tiny()
    assert (tmp_path / "run" / "log.txt").exists()
    assert train_tiny().stopped == "finished"


def test_a_folder_in_use_is_left_as_it_is(train_tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        train_tiny()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_finished_run_is_not_overwritten(finished_run, tiny_data):
    with pytest.raises(UsageError, match="is not empty.*striate resume"):
        train(tiny_data, out=finished_run.path)


def test_images_that_are_all_alike_train_and_are_said_to_teach_nothing(train_tiny, heard):
    images, labels = np.zeros((60, 8, 8), np.uint8), np.arange(60) % 3
    pair = Data.from_arrays(images, labels).split(validation=0, test=0)
    run = train_tiny(data=pair, net="auto", events=heard, data__test=0, data__validation=0)
    assert run.stopped == "finished"
    assert (run.validation, run.test) == (None, None)


def test_the_recipe_of_a_run_is_one_again_without_anything_automatic(finished_run):
    written = read_run(finished_run.path)["recipe"]
    recipe, fast = recipe_from_json(written), load_recipe("fast")
    for section in ("optimizer", "schedule", "loss", "regularize", "average", "stop", "data"):
        assert getattr(recipe, section) == getattr(fast, section)
    assert "auto" not in json.dumps(written)
