"""Files made to do harm, named after the lines of the reliability matrix."""

import json
import pickle
import resource
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import Preprocessing
from striate.errors import DataError, ModelError
from striate.jobs.evaluate import evaluate
from striate.model import Model, Unreadable, load_model, load_tensors, save_tensors
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


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = parse_net("conv3-4 bn relu gap fc-3")
    module = net.build((8, 8, 3))
    return Model(module.net, module, ("a", "b", "c"), Preprocessing(size=(8, 8), channels=3))


@pytest.fixture
def path(model, tmp_path):
    """A sound model file, for an attack to change."""
    path = tmp_path / "model.safetensors"
    model.save(path)
    return path


def refusal(path):
    """The one line with which a file is refused as a model."""
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert caught.value.status == 4
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_document(path, **changes):
    """Change a model's document, and seal it with right checksums, as an attacker would."""
    tensors, document = load_tensors(path)
    save_tensors(path, tensors, document | changes)


def change_header(path, change):
    """Change the header of a file and announce its new length rightly."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = change(header) or json.dumps(header)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + content[8 + length :])


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


# 44: documents and net texts that are too deep, too large, or point elsewhere


def nest(depth):
    tree = {}
    for _ in range(depth):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provenance": nest(100)}, "nested 1.. deep"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"two\nlines": 1}, r"two\\nlines: Extra inputs"),
        ({"classes": ["a", "b"]}, "gives 3, for 2 classes"),
        ({"classes": ["a", "b", "b"]}, "a class occurs twice"),
        ({"classes": ["a", "b", "c" * 5000]}, "at most 1000 characters"),
        ({"classes": []}, "classes: "),
        ({"input": [9, 8, 3]}, "disagree"),
        ({"temperature": 0}, "temperature: "),
        ({"temperature": "x"}, "temperature: "),
        ({"preprocessing": {"size": [8, 8], "channels": 2}}, "preprocessing.channels"),
        ({"preprocessing": {"size": [2**40, 8], "channels": 3}}, "preprocessing.size"),
        ({"format": 2}, r"model format '2', and this Striate reads 1 \(update Striate\)"),
        ({"net": "conv3-4 (bn"}, "its net cannot be built: line 1, column"),
        ({"net": "conv3-4 bn relu gap"}, "gives 4, for 3 classes|gives 1x1x4, for 3 classes"),
        ({"net": "conv9-4p0 bn relu gap fc-3"}, "its net cannot be built"),
        ({"net": ""}, "net: "),
        ({"net": "relu " * 20_000}, "at most 65536 characters"),
    ],
)
def test_44_a_wrong_document_is_refused(path, changes, message):
    change_document(path, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "net",
    [
        "[[[[[relu]*1000]*1000]*1000]*1000]*1000 gap fc-3",
        "f0 = relu relu\n"
        + "".join(f"f{i} = f{i - 1} f{i - 1}\n" for i in range(1, 60))
        + "f59 fc-3",
        "f(n) = f(n)\nf(3) fc-3",
        "[" * 30_000,
        "(" * 20_000 + "relu" + ")" * 20_000,
        "conv3-" + "9" * 50_000,
        "[nearest2]*60 gap fc-3",
        "[(skip | skip)]*40 gap fc-3",
        "input 999999999x999999999x3 gap fc-3",
    ],
    ids=lambda net: net[:20],
)
def test_44_a_net_text_that_explodes_is_refused_at_once(path, net):
    change_document(path, net=net)
    begun = time.monotonic()
    refusal(path)
    assert time.monotonic() - begun < 5


@pytest.fixture
def run(path, tmp_path):
    """A run folder on a folder of twelve images."""
    for name in "abc":
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((8, 8, 3), ord(name) + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    return path.parent


@pytest.mark.parametrize(
    "text",
    [
        '{"data":' * 100_000,
        "[]",
        "{}",
        '{"data": {"source": 5}}',
        '{"data": {"source": NaN}}',
        "\0" * 1000,
        '{"a": ' + "9" * 100_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_44_a_wrong_run_document_is_refused(run, text):
    (run / "run.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        evaluate(run)
    assert "\n" not in str(caught.value)


def test_44_a_huge_run_document_is_not_read(run):
    with (run / "run.json").open("wb") as file:
        file.truncate(2**40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="at most"):
        evaluate(run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_44_names_in_a_split_lead_nowhere(run, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    from striate.data import load_data

    data = load_data(tmp_path / "data")
    record = {"source": str(tmp_path / "data"), "manifest_hash": data.manifest_hash}
    document = {"data": record, "recipe": {"data": {"size": 0, "resize": "squash"}}}
    (run / "run.json").write_text(json.dumps(document))
    rows = [f"../../../etc/passwd,a,{split}" for split in ("train", "test") * 6]
    (run / "split.csv").write_text("\n".join(["name,label,split", *rows]) + "\n")
    with pytest.raises(ModelError, match="names other images"):
        evaluate(run)


# 46: images that are something else


def png_with_text(length):
    """A sound PNG whose text chunk expands to this many bytes."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    head = (8).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    text = b"Comment\0\0" + zlib.compress(b"\0" * length, 9)
    pixels = zlib.compress((b"\0" + b"\x80" * 24) * 8)
    chunks = ((b"IHDR", head), (b"zTXt", text), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


NO_IMAGES = {
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(canary) (w) file closefile\n",
    "psd.png": b"8BPS\0\1" + b"\0" * 600,
    "svg.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "html.jpg": b"<!DOCTYPE html><html></html>",
    "pdf.jpg": b"%PDF-1.7\n",
    "icns.png": b"icns\0\0\1\0" + b"\0" * 300,
    "fits.png": b"SIMPLE  =                    T" + b" " * 3000,
    "xpm.png": b'/* XPM */\nstatic char *x[] = {"1 1 1 1", "a c red", "a"};',
    "empty.png": b"",
    "nothing.gif": b"GIF89a",
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_46_what_is_no_image_of_the_list_is_refused(model, tmp_path, name):
    (tmp_path / name).write_bytes(NO_IMAGES[name])
    (entry,) = model.predict([tmp_path / name])
    assert isinstance(entry, Unreadable)
    assert "\n" not in entry.error


def test_46_a_text_bomb_in_a_png_does_not_go_off(model, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_with_text(300_000_000))
    assert path.stat().st_size < 400_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.predict([path])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    path.write_bytes(png_with_text(100))
    assert not isinstance(model.predict([path])[0], Unreadable)  # the PNG was a sound one


def test_46_other_images_are_predicted_all_the_same(path, tmp_path, command):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, content in NO_IMAGES.items():
        (folder / name).write_bytes(content)
    Image.new("RGB", (9, 9)).save(folder / "good.png")
    done = command("predict", path, folder, "--json")
    assert done.returncode == DataError.status
    entries = json.loads(done.stdout)["predictions"]
    assert len(entries) == len(NO_IMAGES) + 1
    assert [Path(entry["path"]).name for entry in entries if "label" in entry] == ["good.png"]
