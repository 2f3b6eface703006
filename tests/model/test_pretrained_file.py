"""Files of others are as little trusted as our own: no pickle, no hole, no number that is none."""

import hashlib
import json
import pickle
import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ModelError, ResourceError
from striate.model import save_tensors
from striate.model.pretrained import open_pretrained
from striate.model.pretrained.file import WeightsFile

TENSORS = {"fc.weight": torch.randn(3, 5), "fc.bias": torch.zeros(3)}


@pytest.fixture
def path(tmp_path):
    save_file(TENSORS, tmp_path / "weights.safetensors", metadata={"format": "pt"})
    return tmp_path / "weights.safetensors"


class Canary:
    """Its loading makes a file, if anything loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "model.bin", "renamed.safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_refused_with_the_reason(name, zipped, tmp_path):
    content = pickle.dumps(Canary(tmp_path / "canary"))
    if zipped:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(
        ModelError, match="never opens one, since loading it can run code"
    ) as caught:
        open_pretrained(str(tmp_path / name))
    assert caught.value.hint == "give the same weights as .safetensors"
    assert caught.value.status == 4
    assert not (tmp_path / "canary").exists()


def test_a_file_cut_short_anywhere_is_refused(path, tmp_path):
    content = path.read_bytes()
    for length in range(len(content)):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(ModelError) as caught:
            open_pretrained(str(tmp_path / "cut.safetensors"))
        assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path):
    for name in ("absent.safetensors", "."):
        with pytest.raises(ModelError, match="cannot be read: No such file"):
            open_pretrained(str(tmp_path / name))


def test_tensors_of_ours_that_are_no_model(tmp_path):
    save_tensors(tmp_path / "step-1.safetensors", TENSORS, {"format": 1})
    with pytest.raises(ModelError, match="holds tensors, but no model"):
        open_pretrained(str(tmp_path / "step-1.safetensors"))


def test_metadata_that_is_no_text_is_refused(tmp_path):
    header = b'{"__metadata__": {"a": 1}}'
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="its metadata is not text by name"):
        open_pretrained(str(tmp_path / "x.safetensors"))


def test_too_many_layers_are_refused(tmp_path):
    save_file({f"l{i}.weight": torch.zeros(0) for i in range(10_001)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="10,001 layers; at most 10,000"):
        open_pretrained(str(tmp_path / "x.safetensors"))


def test_tensors_are_read_as_they_were_written(path):
    with WeightsFile(path) as file:
        assert file.metadata == {"format": "pt"}
        for name, tensor in TENSORS.items():
            assert torch.equal(file.read(name), tensor)


def test_a_file_that_shrinks_while_it_is_open(path):
    save_file({"fc.weight": torch.zeros(1000, 1000)}, path)
    with WeightsFile(path) as file:
        with path.open("r+b") as other:
            other.truncate(1_000_000)
        with pytest.raises(ModelError, match="became shorter while it was read"):
            file.read("fc.weight")


def test_the_sum_is_that_of_sha256sum(path):
    with WeightsFile(path) as file:
        assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_whose_reading_fails():
    with pytest.raises(ModelError, match="/proc/self/mem: cannot be read: Input/output error"):
        open_pretrained("/proc/self/mem")


def test_more_than_fits_into_memory(tmp_path):
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = json.dumps({"fc.weight": entry}).encode()
    with (tmp_path / "x.safetensors").open("wb") as file:  # its holes take no room on the disk
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**42)
    with (
        WeightsFile(tmp_path / "x.safetensors") as file,
        pytest.raises(ResourceError, match="4,398,047 MB of memory needed"),
    ):
        file.read("fc.weight")
