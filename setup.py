"""The compiled operators, where there is a compiler; all else is in pyproject.toml."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("src/striate/kernels/native")
UNITS = ("amx", "avx512_bf16", "avx512", "avx2", "scalar", "dispatch")  # the longest first


class BuildSideBySide(build_ext):
    """Compiles the units on all cores: one after the other they take minutes."""

    def build_extensions(self) -> None:
        """Let the compiler be called for each source by a thread of its own."""
        compile_all = self.compiler.compile

        def compile_each(sources, *arguments, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                done = pool.map(lambda one: compile_all([one], *arguments, **options), sources)
                return list(chain.from_iterable(done))

        self.compiler.compile = compile_each
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildSideBySide},
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
    ],
)
