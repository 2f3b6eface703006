"""The most that this machine does in a second: matrix products and copies, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from striate.nets.speed import copy_rate, product_rate

SMALLEST_SIDE, LARGEST_SIDE = 512, 16_384  # of the matrices
LONG = 0.01  # seconds of one product, beyond which a larger one is no faster
COPIED = 2**27  # bytes: more than any cache of a processor holds


@dataclass(frozen=True)
class Ceilings:
    """What a net's arithmetic and its traffic with the memory are compared with.

    Attributes:
        fp32_flop: Floating-point operations in a second of an fp32 matrix product, two for each
            multiply-add.
        bf16_flop: The same in bf16.
        copy_bytes: Bytes in a second that a copy reads and writes.
    """

    fp32_flop: float
    bf16_flop: float
    copy_bytes: float

    def flop(self, precision: str) -> float:
        """The ceiling of "fp32" or "bf16"."""
        return self.bf16_flop if precision == "bf16" else self.fp32_flop

    def or_more(self, other: Ceilings) -> Ceilings:
        """The higher of each: what disturbs a measurement only makes it lower."""
        return Ceilings(
            max(self.fp32_flop, other.fp32_flop),
            max(self.bf16_flop, other.bf16_flop),
            max(self.copy_bytes, other.copy_bytes),
        )

    def to_json(self) -> dict[str, float]:
        """As in the document of `bench`."""
        return {
            "fp32_gflops": self.fp32_flop / 1e9,
            "bf16_gflops": self.bf16_flop / 1e9,
            "copy_gb_per_s": self.copy_bytes / 1e9,
        }


def measure_ceilings(device: torch.device) -> Ceilings:
    """Time products of square matrices of several sizes, the best of which counts, and a copy.

    Args:
        device: Where; on the CPU with PyTorch's current threads.
    """
    return Ceilings(
        fp32_flop=_best_product(torch.float32, device),
        bf16_flop=_best_product(torch.bfloat16, device),
        copy_bytes=copy_rate(COPIED, device),
    )


def _best_product(dtype: torch.dtype, device: torch.device) -> float:
    side, best, seconds = SMALLEST_SIDE, 0.0, 0.0
    while side <= LARGEST_SIDE and seconds < LONG:
        rate = product_rate(dtype, side, device)
        best, seconds, side = max(best, 2 * rate), side**3 / rate, 2 * side
    return best
