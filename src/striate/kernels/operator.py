"""How a function becomes one of PyTorch's operators, `torch.ops.striate.NAME`.

`torch.library.custom_op` would do it in a line, but it imports PyTorch's compiler, which takes a
second at the start of every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_LIBRARY = torch.library.Library("striate", "DEF")  # type: ignore[no-untyped-call]


def operator(
    schema: str, *, fake: Callable[..., object]
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Registers a function for the CPU.

    Args:
        schema: Name, arguments and results in PyTorch's own notation.
        fake: The results' shapes alone, from the same arguments: for tracing.
    """

    def register(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        name = _LIBRARY.define(schema)  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, function, "CPU")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"striate::{name}", fake, lib=_LIBRARY)
        return function

    return register
