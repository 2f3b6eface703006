"""Documents, net texts and images made to do harm, by the lines of the reliability matrix."""

import json
import resource
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.reliability.made_models import change_document, refusal

from striate.errors import DataError, ModelError
from striate.jobs.evaluate import evaluate
from striate.model import Unreadable, load_model

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
