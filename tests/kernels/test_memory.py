"""Memory that is freed stays with the process: counted in pages that the system has to bring."""

import subprocess
import sys

import pytest

from striate.kernels import memory
from striate.kernels.memory import LARGEST_KEPT, keep_freed_memory

PAGE = 4096
BLOCKS = 40 * 2**20, 100 * 2**20, 3 * 2**20  # bytes; the C library's own limit is 32 MiB
STEPS = 2
ALL_PAGES = 3 * STEPS * sum(BLOCKS) // PAGE
# The file alone: its room loads PyTorch, which takes seconds and is not needed here.
START = f"""
import resource, runpy, sys
keep_freed_memory = runpy.run_path({memory.__file__!r})["keep_freed_memory"]
"""
REPEATED = """
def step():
    for _ in range(3):
        blocks = [b"x" * int(size) for size in sys.argv[2:]]

if sys.argv[1] == "keep":
    keep_freed_memory()
    keep_freed_memory()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({steps}):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ONCE = """
keep_freed_memory()
block = bytes(int(sys.argv[1]))
del block
print(open("/proc/self/statm").read().split()[0])
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="it is about the C library of Linux")


def run(program: str, *arguments: object, **environment: str) -> int:
    """What a fresh process prints."""
    command = [sys.executable, "-c", START + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


def page_faults(mode: str, **settings: str) -> int:
    """Of repeated use of the blocks, in a process with settings of malloc."""
    return run(REPEATED.format(steps=STEPS), mode, *BLOCKS, **settings)


@linux
def test_what_is_freed_is_used_again_without_a_page_fault() -> None:
    assert page_faults("keep") < ALL_PAGES / 100


@linux
@pytest.mark.parametrize(
    "settings",
    [
        {"MALLOC_MMAP_THRESHOLD_": "1000000"},
        {"MALLOC_TRIM_THRESHOLD_": "1000000"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000000"},
    ],
)
def test_what_the_user_has_set_stays(settings: dict[str, str]) -> None:
    plain = page_faults("plain", **settings)
    assert plain > ALL_PAGES / 4
    assert page_faults("keep", **settings) > plain / 2


@linux
def test_the_largest_blocks_go_back() -> None:
    pages = [run(ONCE, size) for size in (LARGEST_KEPT // 2, LARGEST_KEPT + PAGE)]
    assert pages[0] > pages[1] + LARGEST_KEPT // 4 // PAGE


def test_it_may_be_called_anywhere() -> None:
    keep_freed_memory()
    keep_freed_memory()
