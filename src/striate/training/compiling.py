"""A net's training steps by PyTorch's compiler: what a GPU can gain from.

On a processor Striate's own operators are faster; the compiler is there for the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from striate.errors import UsageError

_compiled_for: list[object] = []  # the key of the steps that the compiler remembers: one


def compile_steps(module: nn.Module, key: object) -> None:
    """Have the module's forward and backward pass compiled, whole, when it is first called.

    The module stays what it is, with its parameters and their names; `module.forward` runs it layer
    by layer as before.

    Args:
        module: The net.
        key: All that its programs depend on. Modules whose keys are equal share their programs. At
            another key those of before are forgotten: the compiler keeps eight of a function, and
            all nets share one.

    Raises:
        UsageError: If PyTorch has no compiler here.
    """
    if [key] != _compiled_for:
        torch.compiler.reset()
        _compiled_for[:] = [key]
    try:
        # deterministic: no kernel whose choice shows in the bits is chosen by a race
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
    except Exception as error:
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
