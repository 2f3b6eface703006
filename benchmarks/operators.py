"""Where compiled operators pay: the fused norm by the size of a volume, and the scaling of photos.

    python benchmarks/operators.py [--quick]

First batch norm with ReLU, as one operator and as PyTorch's two, in training (forward and backward)
and without gradients, for volumes on both sides of the bounds in `striate.nets.fusing`. Then a
photo of 500x375 pixels to squares, by the compiled operator and by Pillow. The two arms take turns,
call by call; each figure is a median. About half a minute.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from provenance import write_result

from striate.kernels import (
    keep_freed_memory,
    normalize_batch,
    processor,
    resize_image,
    scale_and_activate,
)
from striate.nets.fusing import FEWEST_VALUES, FEWEST_WITHOUT_GRADIENTS

SHAPES = ((1, 16, 32), (8, 64, 16), (16, 64, 16), (32, 16, 32), (32, 64, 32), (128, 64, 32))
SIDES = (64, 128, 224)
PHOTO = (375, 500)
FIRST_CALLS = 5
EPSILON, MOMENTUM = 1e-5, 0.1


def compare(ours: Callable[[], object], theirs: Callable[[], object], calls: int) -> list[float]:
    """Median milliseconds of each."""
    times: tuple[list[float], list[float]] = [], []
    for number in range(FIRST_CALLS + calls):
        for arm in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            (ours, theirs)[arm]()
            times[arm].append(time.perf_counter() - start)
    return [1e3 * statistics.median(each[FIRST_CALLS:]) for each in times]


def norm_line(shape: tuple[int, int, int], dtype: torch.dtype, calls: int) -> str:
    """A row for a volume of (images, channels, side)."""
    images, channels, side = shape
    x, dy = (
        torch.randn(images, channels, side, side, dtype=dtype).contiguous(
            memory_format=torch.channels_last
        )
        for _ in range(2)
    )
    x.requires_grad_()
    weight, bias = (
        torch.ones(channels, requires_grad=True),
        torch.zeros(channels, requires_grad=True),
    )
    mean, variance = torch.zeros(channels), torch.ones(channels)

    def fused() -> None:
        options = {"epsilon": EPSILON, "activation": "relu"}
        y, mean_here, variance_here = normalize_batch(x, weight, bias, **options)
        y.backward(dy)
        mean.lerp_(mean_here, MOMENTUM)
        variance.lerp_(variance_here, MOMENTUM)

    def by_pytorch() -> None:
        y = F.batch_norm(x, mean, variance, weight, bias, True, MOMENTUM, EPSILON)
        F.relu(y).backward(dy)

    @torch.no_grad()
    def fused_without() -> None:
        scale = weight * torch.rsqrt(variance + EPSILON)
        scale_and_activate(x, scale, bias - mean * scale, activation="relu")

    @torch.no_grad()
    def by_pytorch_without() -> None:
        F.relu(F.batch_norm(x, mean, variance, weight, bias, False, MOMENTUM, EPSILON))

    cells = []
    for pair in ((fused, by_pytorch), (fused_without, by_pytorch_without)):
        ours, theirs = compare(*pair, calls)
        cells += [f"{ours:.3f}", f"{theirs:.3f}", f"{theirs / ours:.2f}"]
    name = str(dtype).removeprefix("torch.")
    return f"| {name} | {images}x{channels}x{side}x{side} | {x.numel():,} | {' | '.join(cells)} |"


def scaling_line(side: int, calls: int) -> str:
    """A row for photos to squares of that side."""
    pixels = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    ours, theirs = compare(
        lambda: resize_image(pixels, (side, side), filter="bilinear"),
        lambda: image.resize((side, side), Image.Resampling.BILINEAR),
        calls,
    )
    return f"| {side} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100, help="timed, of each arm")
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    calls = 2 if options.quick else options.calls
    keep_freed_memory()
    kinds = (torch.float32, torch.bfloat16)
    body = "\n".join((
        f"Compiled for {processor()}. Medians of {calls} calls, in milliseconds.",
        "",
        "## Batch norm and ReLU",
        "",
        f"The layers run one by one below {FEWEST_VALUES:,} values, without gradients below "
        f"{FEWEST_WITHOUT_GRADIENTS:,}.",
        "",
        "| type | volume | values | training: fused | PyTorch | ratio | without: fused | PyTorch "
        "| ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *(norm_line(shape, dtype, calls) for dtype in kinds for shape in SHAPES),
        "",
        f"## A photo of {PHOTO[1]}x{PHOTO[0]} pixels to a square",
        "",
        "| side | compiled | Pillow | ratio |",
        "|---:|---:|---:|---:|",
        *(scaling_line(side, calls) for side in SIDES),
    ))  # fmt: skip
    print(body)
    if not options.quick:
        print(write_result("operators", "Where compiled operators pay", body))


if __name__ == "__main__":
    main()
