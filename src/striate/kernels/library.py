"""The compiled operators: found beside this file, loaded once, or done without.

They are compiled when the package is installed, where there is a C++ compiler. Their threads are
those of PyTorch: the library is not linked with an OpenMP runtime of its own, and takes the one
that PyTorch has loaded.

The environment variable STRIATE_KERNELS=off does without them in any case; with the name of a kind
of processor, as `processor` gives it, those for that kind run, to compare them.
"""

from __future__ import annotations

import ctypes
import functools
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch  # noqa: F401 - its OpenMP runtime has to be there first

from striate.errors import UsageError

VERSION = 9  # of the C interface, as in native/dispatch.cpp


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The library; None if it was not compiled, is another version, does not load or is off.

    Raises:
        UsageError: If STRIATE_KERNELS names operators that do not run here.
    """
    if os.environ.get("STRIATE_KERNELS") == "off":
        return None
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.is_file():
            return _load(path)
    return None


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None
    if library.striate_version() != VERSION:
        return None
    library.striate_processor.restype = ctypes.c_char_p
    library.striate_muon_words.restype = ctypes.c_int64
    wanted = os.environ.get("STRIATE_KERNELS", "")
    if wanted and not library.striate_use_processor(wanted.encode()):
        raise UsageError(
            f"{wanted!r} operators do not run on this processor",
            path="STRIATE_KERNELS",
            hint="use off, scalar, avx2, avx512, avx512_bf16 or amx, or leave it empty",
        )
    return library


def processor() -> str:
    """Whose operators run.

    Returns:
        "amx", "avx512_bf16", "avx512", "avx2" or "scalar"; "pytorch" for none.
    """
    library = load_library()
    return library.striate_processor().decode() if library else "pytorch"


def multiplies_bf16() -> bool:
    """Whether the operators that run multiply bf16."""
    return processor() in {"amx", "avx512_bf16"}
