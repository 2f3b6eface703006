"""A net's training steps by PyTorch's compiler: what a GPU can gain from.

On a processor Striate's own operators are faster; the compiler is there for the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from striate.errors import UsageError

_memory: list[object] = []  # what the programs in the compiler's memory depend on: one thing


def compile_steps(module: nn.Module, programs: object) -> None:
    """Have the module's forward and backward pass compiled, whole, when it is first called.

    The module stays what it is, with its parameters and their names; `module.forward` runs it layer
    by layer as before.

    Args:
        module: The net.
        programs: What its programs depend on. A net whose last forerunner's were equal takes over
            what that compiled. Otherwise what the process had compiled before is compiled again
            when it is next used: the compiler keeps eight programs of a function, and all nets
            share one.

    Raises:
        UsageError: If PyTorch has no compiler here.
    """
    if [programs] != _memory:
        torch.compiler.reset()
        _memory[:] = [programs]
    try:
        # deterministic: no kernel is chosen by a race, so that a resumed run has the same
        module.compile(fullgraph=True, dynamic=False, options={"deterministic": True})
    except RuntimeError as error:  # as for a Python that is newer than PyTorch
        raise _failed(str(error)) from error


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Within it, a net that cannot be compiled is an error that says what to do.

    Raises:
        UsageError: If PyTorch's compiler, or one that it calls, fails.
    """
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = " ".join(str(error).split("\n")[:2])  # that it failed, and at what
        raise _failed(reason) from error


def _failed(reason: str) -> UsageError:
    return UsageError(
        f"PyTorch's compiler failed: {reason}",
        path="kernels",
        hint="it needs a C++ compiler, on a GPU Triton; kernels=on needs neither",
    )
