"""`striate show` and `striate nets`, through a command line of their own."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from striate.cli import nets as nets_command
from striate.cli import show as show_command
from striate.cli.show import read_size
from striate.errors import NetError, UsageError
from striate.nets import load_net

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
    for text in ("conv3-64/3p0", "2x2x64", "1,792", "concat", "fc-10", "parameters", "sees"):
        assert text in result.stdout
    assert "warning conv3-64/3p0 on 7x7x3: (7 - 3 + 2*0)/3 + 1 = 2.33 is not whole" in result.stdout
    assert "a training step of 32 images" in result.stdout


def test_large_figures_are_short() -> None:
    result = run("show", "vgg16")
    assert "15.5 G" in result.stdout
    assert "12.2 MiB" in result.stdout
    assert "GiB" in result.stdout


# The table of VGG-16 in the decks: volume, and parameters without biases, of each of its lines.
DECK = """
INPUT [224x224x3] 0
CONV3-64 [224x224x64] 1,728
CONV3-64 [224x224x64] 36,864
POOL2 [112x112x64] 0
CONV3-128 [112x112x128] 73,728
CONV3-128 [112x112x128] 147,456
POOL2 [56x56x128] 0
CONV3-256 [56x56x256] 294,912
CONV3-256 [56x56x256] 589,824
CONV3-256 [56x56x256] 589,824
POOL2 [28x28x256] 0
CONV3-512 [28x28x512] 1,179,648
CONV3-512 [28x28x512] 2,359,296
CONV3-512 [28x28x512] 2,359,296
POOL2 [14x14x512] 0
CONV3-512 [14x14x512] 2,359,296
CONV3-512 [14x14x512] 2,359,296
CONV3-512 [14x14x512] 2,359,296
POOL2 [7x7x512] 0
FC [1x1x4096] 102,760,448
FC [1x1x4096] 16,777,216
FC [1x1x1000] 4,096,000
"""


def test_vgg16_reads_as_the_table_of_the_lectures() -> None:
    """Line by line: the layers between, which only work on values, are left out there."""
    lines = [line.split() for line in run("show", "vgg16").stdout.splitlines()]
    rows = [line for line in lines if line and re.match(r"input|conv|maxpool|fc-", line[0])]
    deck = [line.split() for line in DECK.strip().splitlines()]
    assert len(rows) == len(deck)
    for row, (name, volume, weights) in zip(rows, deck, strict=True):
        assert row[0].startswith(name.lower().replace("pool", "maxpool"))
        assert row[1] == volume.strip("[]")
        channels = int(row[1].split("x")[2])
        biases = channels if row[0].startswith(("conv", "fc")) else 0
        parameters = int(row[2].replace(",", "")) if biases else 0
        assert parameters == int(weights.replace(",", "")) + biases


def test_the_receptive_field_and_its_step() -> None:
    rows = [line.split() for line in run("show", "vgg16").stdout.splitlines()]
    assert next(row for row in reversed(rows) if row[:1] == ["maxpool2"])[-2:] == ["212", "32"]
    result = run("show", "conv5x3-2/2x1 nearest2 gap fc-2", "--input", "9x8x1", "--object", "3")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[4][-2:] == ["5x3", "2x1"]
    assert rows[5][-2:] == ["5x3", "1x0.5"]
    assert rows[6][-1] == "13x10"
    (layer, *_) = document("show", "conv5x3-2/2x1 nearest2", "--input", "9x8x1")["layers"][1:]
    assert (layer["receptive_field"], layer["receptive_field_stride"]) == ([5, 3], [1, 0.5])


@pytest.mark.parametrize("net", ["vgg16", "googlenet", "densenet201"])
@pytest.mark.parametrize("options", [(), ("--compare-fc",)])
def test_the_table_fits_80_columns(net: str, options: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["show", net, *options])
    lines = result.stdout.splitlines()
    end = max(at for at, line in enumerate(lines) if not line.strip())
    assert end > 20
    assert max(len(line) for line in lines[:end]) <= 80
    assert "\u2026" not in result.stdout


def test_no_figure_is_cut_in_a_narrow_terminal() -> None:
    result = CliRunner(env={"COLUMNS": "40"}).invoke(app, ["show", "vgg16"])
    assert "102,764,544" in result.stdout
    assert "\u2026" not in result.stdout


def test_the_other_layers_with_the_same_volumes() -> None:
    """001's first layer of AlexNet; its 66 billion, from 230,187 inputs, is a slip."""
    rows = [line.split() for line in run("show", "alexnet", "--compare-fc").stdout.splitlines()]
    first = next(row for row in rows if row[:1] == ["conv11-96/4p0"])
    assert first[1:] == ["55x55x96", "290,400", "34,944", "105,705,600", "44.9", "G"]
    layers = document("show", "alexnet", "--compare-fc")["layers"]
    assert layers[0]["compare_fc"] == {
        "outputs": 290_400,
        "shared": 34_944,
        "locally_connected": 105_705_600,
        "fully_connected": 44_892_355_200,
    }
    assert [layer["text"] for layer in layers if "compare_fc" in layer] == [
        "conv11-96/4p0", "conv5-256g2", "conv3-384", "conv3-384g2", "conv3-256g2",
    ]  # fmt: skip
    assert "fully connected 67.8 G" in run("show", "alexnet", "--compare-fc").stdout


def test_the_object_is_what_the_warning_goes_by() -> None:
    net = ("show", "conv3-8 relu gap fc-2", "--input", "32x32x3")
    assert "too few for an object of 16x16" in run(*net).stdout
    assert document(*net, "--object", "3")["warnings"] == []
    assert run(*net, "--object", "0").exit_code == 2


def test_the_picture_is_written_beside_the_table(tmp_path: Path) -> None:
    path = tmp_path / "net.svg"
    result = run("show", "resnet18", "--input", "32x32x3", "--picture", str(path))
    assert result.exit_code == 0
    assert f"picture {path}" in result.stdout
    drawn = path.read_text(encoding="utf-8")
    assert drawn == load_net("resnet18").adapted_to((32, 32, 3)).picture()
    assert document("show", "lenet5", "--picture", str(path))["picture"] == str(path)
    assert "10x10x16" in path.read_text(encoding="utf-8")


def test_the_picture_must_be_an_svg(tmp_path: Path) -> None:
    path = tmp_path / "net.png"
    result = run("show", "lenet5", "--picture", str(path))
    assert isinstance(result.exception, UsageError)
    assert "end its name with .svg" in str(result.exception)
    assert not path.exists()


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
