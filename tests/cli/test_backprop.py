"""`striate backprop`, through the command line."""

import json

import pytest

from striate.cli import run
from striate.cli.backprop import read_values
from striate.errors import UsageError

DECK = ["q = x + y; f = q * z", "--at", "x=-2,y=5,z=-4"]


def output(capsys, *arguments):
    assert run(["backprop", *arguments]) == 0
    return capsys.readouterr().out


def test_the_example_of_deck_001(capsys):
    assert output(capsys, *DECK) == (
        "forward\n"
        "  x = -2, y = 5, z = -4\n"
        "  q = x + y = -2 + 5 = 3\n"
        "  f = q * z = 3 * (-4) = -12\n"
        "\n"
        "backward\n"
        "  df/df = 1\n"
        "  df/dq = z = -4\n"
        "  df/dz = q = 3\n"
        "  df/dx = df/dq * dq/dx = -4 * 1 = -4\n"
        "  df/dy = df/dq * dq/dy = -4 * 1 = -4\n"
        "\n"
        "graph         value  df/d(node)\n"
        "f = q * z       -12           1\n"
        "├─ q = x + y      3          -4\n"
        "│  ├─ x          -2          -4\n"
        "│  └─ y           5          -4\n"
        "└─ z             -4           3\n"
    )


def test_the_document(capsys):
    document = json.loads(output(capsys, *DECK, "--json"))
    derivatives = {node["name"]: node["derivative"] for node in document["nodes"]}
    assert derivatives == {"x": -4, "y": -4, "z": 3, "q": -4, "f": 1}


def test_reasons_and_functions_of_two_arguments_are_printed_whole(capsys):
    text = output(capsys, "max(x, y)", "--at", "x=1", "--at", "y=4")
    assert "  f = max(x, y) = max(1, 4) = 4\n" in text
    assert "  df/dx = 0, since x < y\n" in text


def test_values_are_green_and_derivatives_red(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = output(capsys, *DECK)
    assert "f = q * z = 3 * (-4) = \x1b[32m-12\x1b[0m" in text
    assert "df/dq = z = \x1b[31m-4\x1b[0m" in text


def test_a_net(capsys):
    text = output(capsys, "fc-2 relu fc-1", "--input", "1x1x3", "--seed", "1")
    for part in ("input       1x1x3", "fc1         fc-2", "df/dx = W^T df/dy", "f = the output = "):
        assert part in text
    document = json.loads(
        output(capsys, "conv3-2 relu maxpool2 fc-3", "--input", "4x4x1", "--label", "2", "--json")
    )
    assert document["loss"] == "the loss cross_entropy with label 2"
    assert [layer["name"] for layer in document["layers"]] == [
        "input", "conv1", "relu1", "maxpool1", "fc1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["x * y", "--at", "x=1"],
            "line 1, column 5: `y` has no value\n    x * y\n        ^ (give",
        ),
        (["x", "--at", "x=1,y=2"], "`y` has a value, but is not in the expression"),
        (["x", "--at", "x:1"], "--at 'x:1' is not a value (as in --at x=-2,y=5)"),
        (["x", "--at", "x=1", "--seed", "3"], "an expression has no seed"),
        (["lenet5", "--input", "32x32x1"], "numbers are too many to read"),
        (["fc-2", "--input", "4"], "--input '4' is not a size"),
        (["fc-2", "--input", "1x1x2", "--at", "x=1"], "a net has no variables"),
        (["fc-2 relu"], "this is a net, and its input size is not given"),
    ],
)
def test_errors_are_short_and_say_what_to_do(capsys, arguments, message):
    assert run(["backprop", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_an_error_as_a_document(capsys):
    assert run(["backprop", "log(x)", "--at", "x=-1", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "expression"
    assert "log(-1) is not defined" in error["message"]


@pytest.mark.parametrize(
    "text", ["x", "x=", "=2", "x=1=2", "2=x", "x=nan", "x=inf", "", "x=1,,y=2"]
)
def test_values_are_checked(text):
    with pytest.raises(UsageError, match="is not a value"):
        read_values([text])


def test_a_name_has_one_value():
    with pytest.raises(UsageError, match="--at gives x twice"):
        read_values(["x=1", "x=2"])
