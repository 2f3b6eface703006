"""`striate check-gradient`: its table, its document, and what it does about a wrong layer."""

import json
import math

import pytest
from torch import nn

from striate.cli import check_gradient, run

NET = "conv3-4 bn relu maxpool2 (conv3-4 + skip) tanh fc-3"


def document(capsys, *arguments):
    status = run(["check-gradient", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def broken(monkeypatch):
    """A rectifier that passes half of the gradient on, as a broken kernel would."""

    def forward(self, x):
        rectified = x.relu()
        return (rectified + rectified.detach()) / 2

    monkeypatch.setattr(nn.ReLU, "forward", forward)


def test_the_table_names_every_layer(capsys):
    assert run(["check-gradient", NET, "--input", "8x8x2", "--entries", "40"]) == 0
    out = capsys.readouterr().out
    for text in ("conv1", "conv3-4", "add1", "fc-3", "input error", "weight error", "right"):
        assert text in out
    assert "wrong" not in out
    assert "entries lie at a kink" in out
    assert "all 8 layers are right, to " in out
    assert "(tolerance 1e-06)" in out


def test_the_json_document(capsys):
    status, found = document(capsys, NET, "--input", "8x8x2", "--seed", "4", "--batch", "3")
    assert status == 0
    assert list(found) == [
        "net", "input", "batch", "seed", "tolerance", "layers", "wrong", "passed",
    ]  # fmt: skip
    assert (found["input"], found["batch"], found["seed"]) == ([8, 8, 2], 3, 4)
    assert (found["wrong"], found["passed"]) == (None, True)
    names = [layer["name"] for layer in found["layers"]]
    assert names == ["conv1", "bn1", "relu1", "maxpool1", "conv2", "add1", "tanh1", "fc1"]
    first = found["layers"][0]
    assert list(first) == ["name", "text", "input", "weights", "failure", "passed"]
    assert first["text"] == "conv3-4"
    assert list(first["weights"]) == ["weight"]
    assert 0 < first["input"]["error"] < 1e-6


def test_a_wrong_layer_is_an_error_of_the_model(broken, capsys):
    assert run(["check-gradient", NET, "--input", "8x8x2"]) == 4
    captured = capsys.readouterr()
    row = next(line for line in captured.out.splitlines() if "relu1" in line)
    assert "5.0e-01" in row
    assert row.rstrip().endswith("wrong")
    assert captured.out.count("wrong") == 1
    assert "layers are right" not in captured.out
    assert captured.err.startswith(
        "striate: the gradient of relu1 (relu) differs from the numerical one by 0.5"
    )
    assert captured.err.count("\n") == 1


def test_a_wrong_layer_as_one_document(broken, capsys):
    status, found = document(capsys, NET, "--input", "8x8x2")
    assert status == 4
    assert (found["wrong"], found["passed"]) == ("relu1", False)
    assert found["error"]["kind"] == "model"
    assert "relu1" in found["error"]["message"]


def test_the_flow_has_bars(capsys):
    assert run(["check-gradient", "[fc-20 sigmoid]*8 fc-5", "--input", "4x4x1", "--flow"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.count("#") for line in out.splitlines() if "fc" in line}
    assert 1 <= rows["fc1"] < rows["fc5"] < rows["fc9"] <= check_gradient.BAR
    assert "cross-entropy loss, 32 random images" in out
    assert "Vanishing: the gradient at fc1 is" in out


def test_the_flow_as_a_document(capsys):
    status, found = document(capsys, "lenet5", "--flow", "--batch", "4")
    assert status == 0
    assert list(found) == [
        "net", "input", "batch", "seed", "loss", "layers", "ratio", "verdict", "sentence",
    ]  # fmt: skip
    assert found["batch"] == 4
    assert list(found["layers"][0]) == ["name", "text", "gradient", "weight_gradient"]
    assert found["layers"][1]["weight_gradient"] is None
    assert found["verdict"] == "steady"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["lenet5", "--flow", "--tolerance", "1e-3"], 2, "--flow reads no --tolerance"),
        (["lenet5", "--flow", "--entries", "3"], 2, "--flow reads no --entries"),
        (["lenet5", "--batch", "1"], 2, "a batch of 1"),
        (["lenet5", "--input", "32"], 2, "height x width x channels"),
        (["fc-3"], 2, "give the input size"),
        (["vgg16"], 6, "give it smaller images"),
    ],
)
def test_errors(arguments, status, message, capsys):
    assert run(["check-gradient", *arguments]) == status
    assert message in capsys.readouterr().err


def test_the_bars_are_in_proportion_to_the_logarithm():
    low, decades = check_gradient._scale([1e-6, 0.5, 0.0, math.inf])
    assert (low, decades) == (-6, 6)
    assert check_gradient._bar(1e-3, low, decades) == "#" * 12
    assert check_gradient._bar(1e-6, low, decades) == "#"
    assert check_gradient._bar(0.0, low, decades) == ""
    assert check_gradient._scale([0.5, 0.6]) == (-4, 4)  # little differences look little
    assert check_gradient._scale([0.0]) == (-3, 4)
