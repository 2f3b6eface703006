"""Every operator under the sanitizers for addresses and undefined behaviour."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import striate.kernels
from striate.kernels import multiplies_bf16, processor

NATIVE = Path(striate.kernels.__file__).parent / "native"
DRIVER = Path(__file__).with_name("driver.cpp")
EMULATED = f'-DTILE_INSTRUCTIONS="{Path(__file__).with_name("emulated_amx.h")}"'
# As in setup.py, but not optimised: the checks would make that take a minute.
FLAGS = (
    *("-std=c++17", "-O0", "-g0", "-fopenmp", "-ffp-contract=fast", "-fno-math-errno"),
    *("-fno-trapping-math", "-Wno-psabi", "-fsanitize=address,undefined"),
    "-fno-sanitize-recover=all",
)
SETTINGS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # the search for leaks fails within a debugger
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait must not keep busy cores from the others
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The driver, with the operators for this processor; but for AMX, all are of one source."""
    # Nobody asks Linux for the tile registers there: AMX is emulated below.
    units = {"pytorch": "scalar", "amx": "avx512_bf16"}
    unit = units.get(processor(), processor())
    return compile_driver(unit, tmp_path_factory.mktemp("sanitizers") / "driver")


def compile_driver(unit, program, *options):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    sources = [str(NATIVE / f"{unit}.cpp"), str(DRIVER)]
    command = [compiler, *FLAGS, *options, f"-DKERNELS={unit}_kernels", f"-I{NATIVE}", *sources]
    command += ["-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and "sanitize" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    return program


def run(*command):
    environment = os.environ | SETTINGS
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True)


def test_no_operator_leaves_its_memory_or_is_undefined(driver):
    done = run(driver)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert int(done.stdout.split()[0]) > 1000


@pytest.mark.parametrize("unit", ["scalar", "avx2"])
def test_neither_does_what_works_on_bytes_elsewhere(unit, tmp_path):
    """Those operators are written anew for kinds of processors, of which this one has the best."""
    if processor() in {unit, "pytorch"} or (unit == "avx2" and processor() == "scalar"):
        pytest.skip("tested above, or not to be run here")
    done = run(compile_driver(unit, tmp_path / "driver"), "bytes")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) > 200


@pytest.mark.skipif(not multiplies_bf16(), reason="this processor does not multiply bf16")
def test_neither_does_amx(tmp_path):
    done = run(compile_driver("amx", tmp_path / "driver", EMULATED), "half")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) > 500


def test_a_block_that_is_a_byte_too_small_is_found(driver):
    done = run(driver, "too-small")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
