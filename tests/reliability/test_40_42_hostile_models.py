"""Model files made to do harm, named after the lines of the reliability matrix."""

import json
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.reliability.made_models import change_document, change_header, refusal

from striate.data import Preprocessing
from striate.errors import ModelError
from striate.model import Model, load_model, load_tensors, save_tensors
from striate.model.header import MAX_HEADER_BYTES
from striate.nets import parse_net

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz_model.py"


class Trap:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return Path.write_text, (Path(self.canary), "sprung")


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


# 40: a pickle


@pytest.mark.parametrize("old_format", [False, True])
def test_40_a_pickle_is_refused_and_its_code_not_run(tmp_path, canary, old_format):
    path = tmp_path / "model.pt"
    torch.save({"w": Trap(canary)}, path, _use_new_zipfile_serialization=not old_format)
    message = refusal(path)
    assert "never opens one, since loading it can run code" in message
    assert "model.safetensors" in message
    shutil.copy(path, tmp_path / "model.safetensors")
    assert "can run code" in refusal(tmp_path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # the trap was a real one


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_40_no_protocol_of_pickle_gets_through(tmp_path, canary, protocol):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap(canary), protocol=protocol))
    refusal(path)
    assert not canary.exists()


def test_40_the_command_line_says_why_in_one_line(tmp_path, canary, command):
    path = tmp_path / "model.pt"
    torch.save(Trap(canary), path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = command("predict", path, tmp_path / "a.png", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["kind"] == "model"
    assert done.stderr.count("\n") == 1
    assert "can run code" in done.stderr
    assert not canary.exists()


# 41: a file that expands


def test_41_an_archive_is_never_expanded(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 300_000_000)
    assert path.stat().st_size < 400_000
    assert "zip archive" in refusal(path)
    assert peak_of_loading(path) < 20_000_000


def test_41_a_terabyte_that_takes_no_disk_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    for start in (b"PK\x03\x04", b"\0", (2**39).to_bytes(8, "little") + b"{"):
        path.write_bytes(start)
        with path.open("r+b") as file:
            file.truncate(2**40)
        begun = time.monotonic()
        refusal(path)
        assert time.monotonic() - begun < 1


def test_41_a_model_takes_less_memory_than_twice_its_file(tmp_path):
    net = parse_net("fc-400")
    module = net.build((128, 128, 3))
    classes = tuple(map(str, range(400)))
    model = Model(module.net, module, classes, Preprocessing(size=(128, 128), channels=3))
    model.save(tmp_path / "m")
    size = (tmp_path / "m").stat().st_size
    assert size > 75_000_000
    assert peak_of_loading(tmp_path / "m") < 2 * size


@pytest.mark.parametrize(
    "net", ["fc-999999 fc-3", "whiten8 gap fc-3", "[conv3-4000 relu]*200 fc-3"]
)
def test_41_a_small_file_cannot_announce_a_large_net(path, net):
    change_document(path, net=net)
    assert "parameters, and the file holds" in refusal(path)
    assert peak_of_loading(path) < 50_000_000


def peak_of_loading(path):
    """How much memory in bytes a process needs for it, beyond that of loading a small file."""
    script = """
        import resource, sys
        from striate.data import Preprocessing
        from striate.errors import ModelError
        from striate.model import Model, load_model
        from striate.nets import parse_net
        net = parse_net("fc-2")
        small = Model(net, net.build((2, 2, 3)), ("a", "b"), Preprocessing(size=(2, 2), channels=3))
        small.save(sys.argv[1] + ".small")
        load_model(sys.argv[1] + ".small")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            model = load_model(sys.argv[1])
        except ModelError:
            pass
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


# 42: bad headers, offsets, values, shapes, keys

FIRST = "layers.bn1.bias"


def set_entry(**changes):
    return lambda header: header[FIRST].update(changes)


def shift(by, name=FIRST):
    def change(header):
        header[name]["data_offsets"] = [offset + by for offset in header[name]["data_offsets"]]

    return change


def add(name, entry):
    return lambda header: header.update({name: entry})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry(dtype="F8_E4M3"), "dtype 'F8_E4M3', not allowed"),
        (set_entry(dtype=None), "dtype 'None', not allowed"),
        (set_entry(dtype="I32"), r"I32 \[4\], and its net takes F32 \[4\]"),
        (set_entry(shape=[2, 2]), r"F32 \[2, 2\], and its net takes F32 \[4\]"),
        (set_entry(shape=[5]), "do not fit its shape"),
        (set_entry(shape=[-4]), "malformed shape"),
        (set_entry(shape=[True]), "malformed shape"),
        (set_entry(shape=[2**60, 2**60]), "malformed shape"),
        (set_entry(shape=[4] + [1] * 20), "malformed shape"),
        (set_entry(data_offsets=[0]), "malformed offsets"),
        (set_entry(data_offsets=[0, 16.0]), "malformed offsets"),
        (set_entry(data_offsets=[16, 0]), "do not fit"),
        (set_entry(extra=1), "is malformed"),
        (shift(8), "overlaps|hole"),
        (shift(-8, "layers.bn1.weight"), "overlaps|hole|malformed offsets"),
        (shift(10**9), "hole"),
        (add("w", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}), "has not: 'w'"),
        (add("", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}), "name of 0 characters"),
        (add("x" * 600, {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}), "of 600"),
        (add("w", []), "is malformed"),
        (lambda header: header.pop(FIRST) and None, "hole"),
        (lambda header: header.pop("__metadata__") and None, "not one that Striate wrote"),
        (lambda header: header["__metadata__"].update(more="x"), "unknown metadata"),
        (lambda header: json.dumps(header).replace("{", '{"a": 1, "a": 2,', 1), "occurs twice"),
        (lambda _: "{" * 1000, "nested 1000 deep"),
        (lambda _: '{"a": 1' + "0" * 5000 + "}", "not valid JSON"),
        (lambda _: "{} trailing", "not valid JSON"),
        (lambda _: "{}" + " " * MAX_HEADER_BYTES, "at most 4,194,304 are allowed"),
    ],
)
def test_42_a_wrong_header_is_refused(path, change, message):
    change_header(path, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_42_a_header_of_too_many_tensors_is_refused(path):
    nothing = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    many = ",".join(f'"{i}":{json.dumps(nothing, separators=(",", ":"))}' for i in range(70_000))
    change_header(path, lambda header: "{" + many + "," + json.dumps(header)[1:])
    refusal(path)


def test_42_bytes_after_the_last_tensor_are_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    assert "bytes of weights are announced" in refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_42_values_that_are_no_numbers_are_refused(path, value):
    tensors, document = load_tensors(path)
    tensors[FIRST][2] = value
    save_tensors(path, tensors, document)
    assert f"{FIRST!r} holds NaN or infinity" in refusal(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(FIRST), f"lacks the weight {FIRST!r}"),
        (lambda tensors: tensors.update(more=torch.ones(1)), "its net has not: 'more'"),
        (lambda tensors: tensors.update({FIRST: torch.ones(2, 2)}), r"F32 \[2, 2\].*F32 \[4\]"),
        (lambda tensors: tensors.update({FIRST: torch.ones(4).double()}), r"F64 \[4\].*F32 \[4\]"),
    ],
)
def test_42_other_keys_shapes_and_dtypes_than_the_nets_are_refused(path, change, message):
    tensors, document = load_tensors(path)
    change(tensors)
    save_tensors(path, tensors, document)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_42_a_short_fuzz_finds_nothing(tmp_path):
    arguments = ["--minutes", "0.07", "--seed", "42", "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, FUZZ, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ModelError" in done.stdout
