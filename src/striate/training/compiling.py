"""A net's training steps by PyTorch's compiler: what a GPU can gain from.

On a processor Striate's own operators are faster; the compiler is there for the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from striate.errors import UsageError
from striate.training.recipe import Recipe


def check_compilable(recipe: Recipe) -> None:
    """Refuse what a compiled net cannot do.

    Raises:
        UsageError: If activations are to be penalised: a compiled net does not show them.
    """
    if recipe.kernels == "compiled" and recipe.regularize.activation_l1 > 0:
        raise UsageError(
            "a compiled net does not show its activations",
            path="regularize.activation_l1",
            hint="use kernels=on or kernels=off",
        )


def compile_steps(module: nn.Module) -> None:
    """Have the module's forward and backward pass compiled, whole, when it is first called.

    The module stays what it is, with its parameters and their names; `module.forward` runs it layer
    by layer as before.
    """
    torch.compiler.reset()  # it keeps eight programs of a function, and all nets share one
    module.compile(fullgraph=True, dynamic=False)


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
        raise UsageError(
            f"PyTorch's compiler failed: {reason}",
            path="kernels",
            hint="it needs a C++ compiler, on a GPU Triton; kernels=on needs neither",
        ) from error
