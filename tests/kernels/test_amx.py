"""The convolutions for AMX, whose instructions are emulated here: few machines have them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.kernels import test_muon
from tests.kernels.test_sanitizers import EMULATED, NATIVE
from tests.kernels.test_winograd import SHAPES, check, run, tensors

from striate.kernels import load_library, multiplies_bf16, muon, winograd

NANS = 0x7FC07FC0  # in fp32 and twice in bf16: a result shows what was read before it was written
FLAGS = (
    "-std=c++17",
    "-O1",
    "-g0",
    "-fopenmp",
    "-fno-math-errno",
    "-Wno-psabi",
    "-shared",
    "-fPIC",
)


@pytest.fixture(scope="module")
def emulated_library(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None or not multiplies_bf16():
        pytest.skip("there is no compiler, or no bf16 in the vectors of this processor")
    library = tmp_path_factory.mktemp("amx") / "emulated.so"
    sources = [str(NATIVE / "amx.cpp"), str(Path(__file__).with_name("emulated_amx.cpp"))]
    command = [compiler, *FLAGS, EMULATED, f"-I{NATIVE}", *sources, "-o", str(library)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def words_of_nans(count):
    return torch.full((count,), NANS, dtype=torch.int32)


@pytest.fixture(scope="module")
def by_amx(emulated_library):
    with pytest.MonkeyPatch.context() as patch:
        emulated_library.striate_muon_words.restype = ctypes.c_int64
        for module in (winograd, muon):
            patch.setattr(module, "load_library", lambda: emulated_library)
            patch.setattr(module, "words", words_of_nans)
        yield


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_amx_agrees_with_pytorch(by_amx, dtype, pool, padding):
    torch.manual_seed(0)
    for shape in (*SHAPES, (7, 70, 100, 12, 9)):
        if min(shape[3:]) + 2 * padding - 2 >= pool:
            check(tensors(shape, dtype), padding, pool=pool)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (6, 70, 70, 12, 12))),
    padding=st.integers(0, 2),
    pool=st.integers(1, 2),
    bias=st.booleans(),
)
def test_any_size(by_amx, shape, padding, pool, bias):
    assume(min(shape[3:]) + 2 * padding - 2 >= pool)
    torch.manual_seed(0)
    check(tensors(shape, torch.bfloat16, bias=bias), padding, pool=pool, times=4)


def test_the_same_bits_with_any_number_of_threads(by_amx, check_threads):
    torch.manual_seed(0)
    volumes, matrices = tensors((30, 48, 80, 9, 11), torch.bfloat16), test_muon.tensors((130, 300))
    check_threads(lambda: run(*volumes, pool=2))
    check_threads(lambda: test_muon.run(*matrices, torch.bfloat16))


def test_it_gives_what_vectors_give_but_for_the_order_of_sums(by_amx, monkeypatch):
    torch.manual_seed(0)
    given_tensors = tensors((9, 64, 48, 13, 10), torch.bfloat16)
    by_tiles = run(*given_tensors)
    monkeypatch.setattr(winograd, "load_library", load_library)
    by_vectors = run(*given_tensors)
    for tile, vector in zip(by_tiles, by_vectors, strict=True):
        apart = (tile.float() - vector.float()).norm() / vector.float().norm()
        assert apart < 1e-3  # bf16 rounds to one part in 512


@pytest.mark.parametrize("shape", [(1, 9), (25, 16), (64, 24, 3, 3), (70, 130), (260, 96)])
def test_muon_steps_by_amx(by_amx, shape):
    torch.manual_seed(0)
    test_muon.check(test_muon.tensors(shape), torch.bfloat16)
