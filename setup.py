"""The compiled operators, where there is a compiler; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/striate/kernels/native")
UNITS = ("dispatch", "amx", "avx512_bf16", "avx512", "avx2", "scalar")

setup(
    ext_modules=[
        Extension(
            "striate.kernels._native",  # a plain library with a C interface, loaded by ctypes
            [str(NATIVE / f"{unit}.cpp") for unit in UNITS],
            depends=[str(path) for path in sorted(NATIVE.glob("*.[hi]*"))],
            language="c++",
            # -fopenmp only here, not for the linker: the thread pool is the one PyTorch has loaded.
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-fopenmp",
                "-ffp-contract=fast",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-Wno-psabi",
            ],
            optional=True,  # without a compiler PyTorch's operators do the same work
        )
    ]
)
