"""`striate evaluate`: the tables, the document and the exit status."""

import json
import warnings

import numpy as np
import pytest
import torch

from striate.cli import run
from striate.data import load_data
from striate.jobs.evaluate import evaluate
from striate.model import Model
from striate.nets import parse_net


def save_model(path, data):
    torch.manual_seed(0)
    net = parse_net(f"conv3-8 relu fc-{len(data.classes)}")
    module = net.build(data.images.shape[1:])
    Model(module.net, module, data.classes, data.preprocessing, 0.9).save(path)


@pytest.fixture
def digits(tmp_path):
    """A run folder on scikit-learn's digits, as far as evaluation reads it."""
    data = load_data("digits").split(seed=0)
    folder = tmp_path / "run"
    folder.mkdir()
    save_model(folder / "model.safetensors", data)
    (folder / "split.csv").write_text(data.manifest(), encoding="utf-8")
    record = {"source": "digits", "manifest_hash": data.manifest_hash}
    document = {"data": record, "recipe": {"data": {"size": 0, "resize": "squash"}}}
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def test_the_tables_name_the_figures(digits, capsys):
    assert run(["evaluate", str(digits)]) == 0
    out = capsys.readouterr().out
    found = evaluate(digits)
    low, high = found.interval
    for text in (
        f"accuracy {found.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})",
        f"on {found.images:,} images",
        f"loss {found.loss:.4f}, calibration error {found.ece:.2%} at temperature 0.900",
        "precision",
        "rows true, columns predicted",
        f"{found.classes[3].precision:.2%}",
    ):
        assert text in out


def test_the_document_is_that_of_the_function(digits, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(["evaluate", str(digits), "--json", "--views", "2"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == evaluate(digits, views=2).to_json()
    assert "a mirrored image of digits changes its class" in err


def test_views_of_the_least_sure_alone(digits, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run(["evaluate", str(digits), "--views", "6", "--unsure", "0.25"]) == 0
        found = evaluate(digits, views=6, unsure=0.25)
    assert f"on {found.images:,} images, 6 views of the 25% least sure" in capsys.readouterr().out


def test_other_data_by_name_or_file(digits, tmp_path, capsys):
    data = load_data("digits")
    chosen = data.labels < 3
    labels = np.array(data.classes)[data.labels[chosen]]
    np.savez(tmp_path / "some.npz", images=data.images[chosen], labels=labels)
    assert (
        run(["evaluate", str(digits / "model.safetensors"), str(tmp_path / "some.npz"), "--json"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == chosen.sum()
    assert [entry["support"] > 0 for entry in document["classes"]] == [True] * 3 + [False] * 7


def test_many_classes_show_the_worst_pairs_instead_of_the_matrix(tmp_path, capsys):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(60) % 20)
    save_model(tmp_path / "m", load_data(tmp_path / "many.npz"))
    assert run(["evaluate", str(tmp_path / "m"), str(tmp_path / "many.npz")]) == 0
    out = capsys.readouterr().out
    assert "taken for" in out
    assert "rows true" not in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["absent"], 4, "No such file"),
        (["RUN", "--views", "3"], 2, "choose 1, 2, 6, 10"),
        (["RUN", "--views", "2", "--unsure", "0"], 2, "choose above 0, up to 1"),
        (["MODEL"], 2, "no data to evaluate on"),
        (["RUN", "absent-data"], 3, "absent-data"),
        (["RUN", "--unknown"], 2, "--unknown"),
    ],
)
def test_each_error_is_one_line_with_its_status(
    digits, tmp_path, capsys, arguments, status, message
):
    save_model(tmp_path / "m", load_data("digits"))
    names = {"RUN": str(digits), "MODEL": str(tmp_path / "m")}
    assert run(["evaluate", *(names.get(a, a) for a in arguments), "--json"]) == status
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert set(json.loads(out)["error"]) == {"kind", "message", "path", "hint"}
