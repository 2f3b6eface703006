"""PyTorch loaded sooner."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """While modules load, Python does not look for cycles among the half million objects they make.

    It would some hundred times, for a tenth of the time to the first step of a training.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
