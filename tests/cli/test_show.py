"""`striate show` and `striate nets`, through a command line of their own."""

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from striate.cli import nets as nets_command
from striate.cli import show as show_command
from striate.cli.show import read_size
from striate.errors import NetError, UsageError

app = typer.Typer()
app.command("show")(show_command.command)
app.command("nets")(nets_command.command)


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))


def document(*arguments: str) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_json_document_of_show() -> None:
    shown = document("show", "vgg16", "--batch", "4")
    assert list(shown) == [
        "net", "input", "layers", "parameters", "multiply_adds", "activation_bytes", "warnings",
        "training_step",
    ]  # fmt: skip
    assert shown["parameters"] == 138_357_544
    assert shown["input"] == [224, 224, 3]
    assert set(shown["layers"][0]) >= {
        "text", "output", "parameters", "multiply_adds", "activation_bytes", "receptive_field",
    }  # fmt: skip
    assert shown["training_step"]["batch"] == 4
    assert shown["training_step"]["memory_bytes"] > 12 * 138_357_544
    assert shown["training_step"]["seconds"] > 0


@pytest.mark.parametrize(
    ("net", "parameters"),
    [("resnet50", 25_557_032), ("densenet121", 7_978_856), ("mlp16", 13_002)],
)
def test_counts_of_the_zoo(net: str, parameters: int) -> None:
    assert document("show", net)["parameters"] == parameters


def test_small_images_get_the_small_stem() -> None:
    shown = document("show", "resnet18", "--input", "32x32x3")
    assert shown["layers"][0]["text"] == "conv3-64"
    assert shown["layers"][0]["output"] == [32, 32, 64]


def test_the_table_names_every_layer_and_the_warnings() -> None:
    result = run("show", "[conv3-64/3p0 relu]*1 (conv1-4 | skip) fc-10", "--input", "7x7x3")
    assert result.exit_code == 0
    for text in ("conv3-64/3p0", "2x2x64", "1,792", "concat", "fc-10", "parameters", "3x3"):
        assert text in result.stdout
    assert "warning conv3-64/3p0 on 7x7x3: (7 - 3 + 2*0)/3 + 1 = 2.33 is not whole" in result.stdout
    assert "a training step of 32 images" in result.stdout


def test_large_figures_are_short() -> None:
    result = run("show", "vgg16")
    assert "15.5 G" in result.stdout
    assert "12.2 MiB" in result.stdout
    assert "GiB" in result.stdout


def test_a_net_without_a_size_asks_for_one() -> None:
    result = run("show", "conv3-8 fc-2")
    assert isinstance(result.exception, NetError)
    assert "give the input size" in str(result.exception)


@pytest.mark.parametrize("text", ["32", "32x32", "0x32x3", "axbxc", "32x32x3x1", "-1x2x3", ""])
def test_sizes_are_checked(text: str) -> None:
    with pytest.raises(UsageError, match="height x width x channels"):
        read_size(text)


def test_the_batch_is_checked() -> None:
    assert run("show", "lenet5", "--batch", "0").exit_code == 2


def test_the_nets_are_listed() -> None:
    result = run("nets")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any("resnet18-cifar" in line and "11,173,962" in line for line in lines)
    assert any("vgg16" in line and "2014" in line and "Simonyan" in line for line in lines)


def test_a_narrow_terminal_shows_the_first_author() -> None:
    source = "Krizhevsky, Sutskever and Hinton, ImageNet Classification"
    assert nets_command._source(source, 80) == "Krizhevsky"
    assert nets_command._source("He et al., Deep Residual Learning", 80) == "He et al."
    assert nets_command._source(source, 200) == source


def test_the_nets_as_json() -> None:
    listed = {net["name"]: net for net in document("nets")["nets"]}
    assert listed["lenet5"]["depth"] == 5
    assert listed["lenet5"]["input"] == [32, 32, 1]
    assert listed["resnet18"]["multiply_adds"] == 1_814_073_344
    assert listed["mlp16"]["net"] == "input 28x28x1 fc-16 sigmoid fc-16 sigmoid fc-10"
    assert all(net["year"] and net["source"] and net["title"] for net in listed.values())
