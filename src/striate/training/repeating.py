"""What PyTorch needs to compute the same bits again: seeds, threads, deterministic algorithms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Self
from warnings import catch_warnings, filterwarnings

import torch
from torch.utils import deterministic

_COMPILER = "torch._inductor.config"  # which takes seconds to import


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed the generators that a step draws from: the CPU's and the device's.

    They draw as after `torch.manual_seed`, which also puts down a traceback for each kind of device
    that is absent, and keeps them all: a tenth of a millisecond a step, and memory without end.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Within it, PyTorch uses that many threads; another number may change a sum's last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device, threads: int) -> Iterator[None]:
    """Within it, PyTorch computes the same bits again: what a training needs to be resumed to them.

    On a processor the number of threads is enough; on a GPU deterministic algorithms are chosen
    too (PyTorch's notes on reproducibility).

    Args:
        device: Where it trains.
        threads: Of the processor; another number may change a sum's last bit.
    """
    with limited_threads(threads), _deterministic() if device.type == "cuda" else nullcontext():
        yield


@contextmanager
def _deterministic() -> Iterator[None]:
    before = _Determinism.now()
    with catch_warnings():
        # PyTorch warns of layers that have none, some of which repeat all the same
        filterwarnings("ignore", message=".*does not have a deterministic implementation")
        try:
            _Determinism(max(1, before.mode)).set()
            yield
        finally:
            before.set()


@dataclass(frozen=True)
class _Determinism:
    """PyTorch's settings, as a training on a GPU wants them.

    Args:
        mode: 1 chooses deterministic algorithms and warns where there are none; 2 fails there.
        races: Whether cuDNN's algorithms are chosen by a race.
        fills: Whether memory is filled that nothing has written.
        compiler: Whether the compiler's kernels are deterministic by default.
    """

    mode: int
    races: bool = False
    fills: bool = False
    compiler: bool = False

    @classmethod
    def now(cls) -> Self:
        """As they are."""
        return cls(
            torch.get_deterministic_debug_mode(),
            torch.backends.cudnn.benchmark,
            deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
            getattr(sys.modules.get(_COMPILER), "deterministic", False),
        )

    def set(self) -> None:
        """Make them so."""
        torch.set_deterministic_debug_mode(self.mode)
        torch.backends.cudnn.benchmark = self.races
        deterministic.fill_uninitialized_memory = self.fills  # type: ignore[attr-defined]
        # While it compiles, the compiler sets this to the mode, and then leaves it.
        if _COMPILER in sys.modules:
            sys.modules[_COMPILER].deterministic = self.compiler  # type: ignore[attr-defined]
