"""Which operators there are, and how to do without."""

import shutil
import subprocess

import pytest
import torch

from striate.data.augment import Augmentation
from striate.data.fused import can_fuse_batches
from striate.errors import UsageError
from striate.kernels import (
    can_convolve,
    can_digest,
    can_fuse,
    can_gather,
    can_resize,
    can_step_muon,
    library,
    load_library,
    multiplies_bf16,
    processor,
)


@pytest.fixture
def switched_off(monkeypatch):
    monkeypatch.setenv("STRIATE_KERNELS", "off")
    load_library.cache_clear()
    yield
    load_library.cache_clear()


def test_the_environment_switches_all_operators_off(switched_off):
    assert load_library() is None
    assert processor() == "pytorch"
    assert not can_fuse(torch.zeros(1, 3, 4, 4))
    assert not can_gather(channels=3, plain=True)
    assert not can_resize(3)
    assert not can_digest()
    assert not can_fuse_batches(Augmentation(), channels=3, device=torch.device("cpu"))
    assert not can_convolve(torch.zeros(2, 24, 8, 8))
    assert not can_step_muon(torch.zeros(8, 8), torch.float32)
    assert not multiplies_bf16()


@pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")
def test_the_environment_chooses_the_operators(monkeypatch):
    best, loaded = processor(), load_library()
    try:
        monkeypatch.setenv("STRIATE_KERNELS", "scalar")
        load_library.cache_clear()
        assert processor() == "scalar"
        monkeypatch.setenv("STRIATE_KERNELS", "abacus")
        load_library.cache_clear()
        with pytest.raises(UsageError, match="'abacus' operators do not run on this processor"):
            load_library()
    finally:
        load_library.cache_clear()
        loaded.striate_use_processor(best.encode())


def test_a_library_of_another_version_is_not_used(tmp_path):
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no compiler")
    source, other = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text(f"int striate_version(void) {{ return {library.VERSION - 1}; }}")
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(other)], check=True)
    assert library._load(other) is None


@pytest.mark.parametrize("can", [lambda: can_resize(3), can_digest])
def test_without_registers_of_its_own_pillow_and_hashlib_are_faster(can):
    library = load_library()
    if library is None:
        pytest.skip("the operators are not compiled")
    best = processor()
    assert can() == (best != "scalar")
    library.striate_use_processor(b"scalar")
    try:
        assert not can()
    finally:
        library.striate_use_processor(best.encode())


def test_the_library_names_the_processor():
    if load_library() is None:
        pytest.skip("the operators are not compiled")
    best, library = processor(), load_library()
    for name in ("scalar", best):
        assert library.striate_use_processor(name.encode())
        assert processor() == name
    assert not library.striate_use_processor(b"abacus")
