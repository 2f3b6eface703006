"""`striate bench`: the document, the tables, the picture, and what is refused."""

import json
from xml.etree import ElementTree

import pytest

from striate.cli import run

TINY = ["conv3-8 relu maxpool2 fc-3", "--input", "8x8x1", "--batch", "16", "--seconds", "0.01"]
PHASE_KEYS = {"phase", "seconds", "flop", "bytes", "gflops", "gb_per_s", "share_of_ceiling"}


def test_the_json_document(capsys):
    assert run(["bench", *TINY, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found) == [
        "device", "processor", "threads", "torch", "kernels", "ceilings", "net", "input", "data",
        "batch", "precision", "step_threads", "steps", "step_seconds", "step_range",
        "images_per_second", "gflops", "share_of_ceiling", "phases", "layers",
    ]  # fmt: skip
    assert list(found["ceilings"]) == ["fp32_gflops", "bf16_gflops", "copy_gb_per_s"]
    assert (found["input"], found["batch"], found["data"]) == ([8, 8, 1], 16, None)
    assert found["images_per_second"] == pytest.approx(16 / found["step_seconds"])
    assert found["share_of_ceiling"] == pytest.approx(
        found["gflops"] / found["ceilings"]["fp32_gflops"]
    )
    assert found["steps"] >= 3
    fastest, slowest = found["step_range"]
    assert 0 < fastest <= found["step_seconds"] <= slowest
    assert err == ""


def test_the_phases_in_the_document(capsys):
    assert run(["bench", *TINY, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    phases = {phase["phase"]: phase for phase in found["phases"]}
    assert list(phases) == [
        "gather", "forward", "input gradient", "weight gradient", "pointwise", "optimiser", "other",
    ]  # fmt: skip
    assert all(set(phase) == PHASE_KEYS | {"share_of_step"} for phase in phases.values())
    total = sum(phase["seconds"] for phase in phases.values())
    assert total == pytest.approx(found["step_seconds"])
    assert sum(phase["share_of_step"] for phase in phases.values()) == pytest.approx(1)
    for name in ("gather", "pointwise"):
        assert phases[name]["gflops"] is None
        assert phases[name]["gb_per_s"] > 0
    assert phases["forward"]["gflops"] > 0
    assert phases["other"]["share_of_ceiling"] is None
    shares = [phase["share_of_ceiling"] for phase in found["phases"][:-1]]
    assert all(0 < share < 3 for share in shares)


def test_the_layers_in_the_document(capsys):
    assert run(["bench", *TINY, "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [(part["layer"], part["phase"]) for part in layers] == [
        ("conv1", "forward"),
        ("conv1", "weight gradient"),
        ("fc1", "forward"),
        ("fc1", "input gradient"),
        ("fc1", "weight gradient"),
    ]
    assert layers[0]["text"] == "conv3-8"
    assert set(layers[0]) == PHASE_KEYS | {"layer", "text"}


def test_the_tables_and_the_picture(capsys, tmp_path):
    picture = tmp_path / "roofline.svg"
    assert run(["bench", *TINY, "--layers", "--picture", str(picture)]) == 0
    out, err = capsys.readouterr()
    for text in (
        "ceilings: fp32 product",
        "a training step of 16 images in fp32, 1 thread, on made-up images:",
        "input 8x8x1 conv3-8 relu maxpool2 fc-3",
        "weight gradient",
        "of copy",
        "conv1  conv3-8",
        "images/s, median of",
        f"picture {picture}",
    ):
        assert text in out
    assert err == ""
    assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_document_names_the_picture(capsys, tmp_path):
    picture = tmp_path / "roofline.png"
    assert run(["bench", *TINY, "--json", "--picture", str(picture)]) == 0
    assert json.loads(capsys.readouterr().out)["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--picture", "roofline.pdf"], 2, "an SVG or a PNG, not roofline.pdf"),
        (["--input", "32x32"], 2, "is not a size"),
        (["--input", "8x8x2"], 2, "2 channels"),
        (["--batch", "1"], 2, "--batch"),
        (["--seconds", "0"], 2, "--seconds"),
        (["--threads", "0"], 2, "--threads"),
        (["--precision", "fp16"], 2, "precision should be"),
        (["--kernels", "auto"], 2, "kernels should be"),
        (["--kernels", "off", "--set", "kernels=on"], 2, "are the same"),
        (["--set", "optimizer.lrr=1"], 2, "did you mean optimizer.lr"),
        (["lenet6"], 2, "did you mean lenet5"),
        (["conv3-8"], 2, "not in a fully connected layer"),
        (["lenet5", "--data", "nowhere"], 3, "nowhere"),
        (["digits", "--input", "8x8x1"], 2, "leave one out"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["bench", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not list(tmp_path.iterdir())
