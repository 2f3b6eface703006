"""Tensor files: exact for every dtype, readable by others, and no change goes unnoticed."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import CheckpointError, ModelError
from striate.model import TensorFile, hash_tensors, is_finite, load_tensors, save_tensors
from striate.model.header import DTYPES

TENSORS = {
    "whole": torch.arange(-3, 3),
    "brain": torch.randn(3, 4).bfloat16(),
    "half": torch.randn(2).half(),
    "double": torch.randn(2, 1, 2).double(),
    "flags": torch.tensor([True, False, True]),
    "number": torch.tensor(2.5),
    "nothing": torch.empty(0, 3),
    "turned": torch.randn(4, 5).T,
    "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "naïve \U0001f600": torch.tensor([7], dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tensors_and_document_come_back_exactly(path):
    document = {
        "text": "ä\U0001f600\n<b>",
        "float": 0.1 + 0.2,
        "list": [1, None, True],
        "deep": {"a": {}},
    }
    digest = save_tensors(path, TENSORS, document)
    tensors, metadata = load_tensors(path)
    assert_same(tensors, TENSORS)
    assert metadata == document
    assert hash_tensors(tensors) == digest
    assert list(path.parent.iterdir()) == [path]


def test_the_library_reads_what_we_write(path):
    save_tensors(path, TENSORS, {})
    assert_same(safetensors.torch.load_file(path), TENSORS)


def test_each_tensor_is_aligned(path):
    save_tensors(path, TENSORS, {"odd": "x"})
    with TensorFile(path) as file:
        for spec in file.specs:
            assert (file._header.start + spec.begin) % DTYPES[spec.dtype].itemsize == 0


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 4), max_size=4)),
        max_size=6,
    )
)
def test_any_shape_and_dtype(tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("any") / "t"
    tensors = {
        name: torch.randint(0, 2, shape).to(DTYPES[dtype]) for name, (dtype, shape) in kinds.items()
    }
    save_tensors(path, tensors, {})
    assert_same(load_tensors(path)[0], tensors)


def test_the_hash_knows_names_dtypes_shapes_and_values():
    one = {"a": torch.zeros(4)}
    others = [
        {"b": torch.zeros(4)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": -torch.zeros(4)},
    ]
    assert len({hash_tensors(tensors) for tensors in (one, *others)}) == 5
    two = {"a": torch.zeros(1), "b": torch.ones(1)}
    assert hash_tensors(two) == hash_tensors(dict(reversed(two.items())))


def test_every_flipped_bit_is_noticed(path):
    save_tensors(path, {"w": torch.randn(3), "n": torch.tensor([1, 2])}, {"classes": ["a", "b"]})
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        bit = 1 << (position % 8)
        content[position] ^= bit
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            load_tensors(path, finite=False)
        assert "\n" not in str(caught.value)
        content[position] ^= bit


def test_every_cut_is_noticed(path):
    save_tensors(path, {"w": torch.randn(3)}, {"a": 1})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_tensors(path, error=CheckpointError)


def test_numbers_that_are_none_are_refused_unless_allowed(path):
    save_tensors(path, {"w": torch.tensor([1.0, float("nan")])}, {})
    with pytest.raises(ModelError, match="'w' holds NaN or infinity"):
        load_tensors(path)
    assert load_tensors(path, finite=False)[0]["w"].isnan().any()


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_bad_value_among_millions_is_found(value, dtype):
    tensor = torch.zeros(2**20 + 5, dtype=dtype)
    assert is_finite(tensor)
    tensor[-1] = value
    assert not is_finite(tensor)


def test_a_truth_value_is_zero_or_one(path):
    save_tensors(path, {"flag": torch.tensor([True])}, {})
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x02")
    with pytest.raises(ModelError):
        load_tensors(path)


def test_only_dtypes_that_can_be_read_are_written(path):
    with pytest.raises(TypeError, match="complex64"):
        save_tensors(path, {"z": torch.zeros(1, dtype=torch.complex64)}, {})
    assert not path.exists()


def test_a_document_that_no_reader_would_take_is_not_written(path):
    with pytest.raises(ValueError, match="a header of"):
        save_tensors(path, {}, {"long": "x" * 2**22})
    with pytest.raises(ValueError, match="JSON"):
        save_tensors(path, {}, {"nan": float("nan")})


def test_loading_takes_little_more_memory_than_the_file(path):
    save_tensors(path, {f"w{i}": torch.zeros(4_000_000) for i in range(10)}, {})
    script = """
        import resource, sys
        from striate.model import load_tensors
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tensors, _ = load_tensors(sys.argv[1])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), path]
    more = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert more < 1.2 * path.stat().st_size


def test_a_library_file_is_not_one_of_ours(path):
    safetensors.torch.save_file({"w": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not one that Striate wrote"):
        load_tensors(path)


def test_folders_pipes_and_absent_files_are_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(ModelError, match="not a file"):
            load_tensors(path)
    with pytest.raises(ModelError, match="No such file"):
        load_tensors(tmp_path / "absent")
    with pytest.raises(ModelError, match="null"):
        load_tensors("a\0b")


def test_a_forged_document_hash_needs_its_document(path):
    save_tensors(path, {}, {"a": 1})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for sealed in ({"a": 1}, {"a": 1, "sha256": {"document": "", "tensors": 5}}):
        header["__metadata__"]["striate"] = json.dumps(sealed)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        with pytest.raises(ModelError, match="SHA-256"):
            load_tensors(path)


def test_values_survive_other_writers_of_numpy(path):
    array = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    save_tensors(path, {"w": torch.from_numpy(array)}, {})
    assert np.array_equal(load_tensors(path)[0]["w"].numpy(), array)
