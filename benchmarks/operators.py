"""Where compiled operators pay: norms, convolutions of 3x3, steps of Muon, the scaling of photos.

    python benchmarks/operators.py [--bytes] [--quick]

First batch norm with ReLU, as one operator and as PyTorch's two, in training (forward and backward)
and without gradients, for volumes on both sides of the bounds in `striate.nets.fusing`. Then
convolutions of 3x3 forward and back, by minimal filtering and by PyTorch, in fp32 and, where the
processor multiplies it, in bf16; and those with a max pooling, a batch norm and a GELU behind them,
where the pooling is one operator with the convolution or with the norm. Then a step of Muon for one
layer's weights, by the compiled operator and by PyTorch's. Then, with `--bytes` alone, a photo of
500x375 pixels to squares, by the compiled operator and by Pillow, and BLAKE2b of files, side by
side and by hashlib. The two arms take turns, call by call; each figure is a median. About three
minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from provenance import write_result

from striate.data.hashing import digest_files
from striate.kernels import (
    DIGEST_BYTES,
    convolve,
    keep_freed_memory,
    multiplies_bf16,
    normalize_batch,
    processor,
    resize_image,
    scale_and_activate,
)
from striate.kernels.muon import MOST_ROWS
from striate.nets.fusing import (
    FEWEST_CHANNELS,
    FEWEST_PIXELS,
    FEWEST_VALUES,
    FEWEST_WITHOUT_GRADIENTS,
    WEIGHTS_A_PIXEL,
)
from striate.training.muon import Filters, Muon

SHAPES = ((1, 16, 32), (8, 64, 16), (16, 64, 16), (32, 16, 32), (32, 64, 32), (128, 64, 32))
CONVOLUTIONS = (  # images, channels, kernels, side
    *((128, 16, 16, 32), (128, 32, 32, 16), (128, 64, 64, 8), (256, 24, 64, 31)),
    *(
        (256, 64, 256, 15),
        (256, 256, 256, 7),
        (256, 256, 256, 3),
        (512, 256, 256, 2),
        (256, 128, 128, 5),
    ),
    *((64, 64, 64, 32), (64, 128, 128, 16), (64, 256, 256, 8), (64, 512, 512, 4)),
    *((16, 64, 64, 56), (16, 128, 128, 28), (16, 256, 256, 14), (16, 512, 512, 7)),
    *((1, 64, 64, 16), (2, 256, 256, 8)),
)
POOLED = ((256, 24, 64, 31), (256, 64, 256, 15), (256, 256, 256, 7), (64, 128, 128, 16))
MESSAGES = ((8, 212_000), (8, 20_000), (64, 3_072))  # photos, images of CIFAR-10
SIDES = (64, 128, 224)
MATRICES = ((16, 25), (32, 400), (128, 512), (64, 216), (256, 576), (256, 2304), (512, 4608))
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


def volume(images: int, channels: int, side: int, dtype: torch.dtype) -> torch.Tensor:
    """Random values in channels_last."""
    values = torch.randn(images, channels, side, side).to(dtype)
    return values.contiguous(memory_format=torch.channels_last)


def operands(
    images: int, channels: int, kernels: int, side: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """A volume and the weights of a convolution of 3x3, which ask for gradients."""
    weight = torch.randn(kernels, channels, 3, 3) / channels
    return (
        volume(images, channels, side, dtype).requires_grad_(),
        weight.contiguous(memory_format=torch.channels_last).requires_grad_(),
    )


def convolution_line(
    images: int, channels: int, kernels: int, side: int, dtype: torch.dtype, calls: int
) -> str:
    """A row for a convolution with padding 1, forward and both gradients."""
    x, weight = operands(images, channels, kernels, side, dtype)
    dy = volume(images, kernels, side, dtype)

    def by_filtering() -> None:
        torch.autograd.grad(convolve(x, weight, None, 1), (x, weight), dy)

    def by_pytorch() -> None:  # as autocast does it: the weights are rounded for each call
        y = F.conv2d(x, weight.to(dtype), padding=1)
        torch.autograd.grad(y, (x, weight), dy)

    ours, theirs = compare(by_filtering, by_pytorch, calls)
    rate = 6e-6 * images * channels * kernels * 9 * side**2 / ours
    name = str(dtype).removeprefix("torch.")
    size = f"{images}x{channels}x{side}x{side} | {kernels}"
    return f"| {name} | {size} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} | {rate:,.0f} |"


def pooled_line(
    images: int, channels: int, kernels: int, side: int, dtype: torch.dtype, calls: int
) -> str:
    """A row for a convolution, a pooling, a norm and a GELU, forward and back."""
    x, weight = operands(images, channels, kernels, side, dtype)
    dy = volume(images, kernels, side // 2, dtype)
    bias = torch.zeros(kernels, requires_grad=True)

    def run(pool: int) -> None:
        y = convolve(x, weight, None, 1, pool=pool)
        options = {"epsilon": EPSILON, "pool": 3 - pool, "activation": "gelu"}
        y, _, _ = normalize_batch(y, None, bias, **options)
        torch.autograd.grad(y, (x, weight, bias), dy)

    ours, theirs = compare(lambda: run(2), lambda: run(1), calls)
    name = str(dtype).removeprefix("torch.")
    size = f"{images}x{channels}x{side}x{side} | {kernels}"
    return f"| {name} | {size} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} |"


def muon_line(rows: int, columns: int, dtype: torch.dtype, calls: int) -> str:
    """A row for the weights of a layer, a matrix with one row for each output."""
    arms = []
    for kernels in (True, False):
        weight = torch.nn.Parameter(torch.randn(rows, columns))
        weight.grad = torch.randn(rows, columns)
        muon = Muon([Filters(weight)], lr=0.1, momentum=0.6, dtype=dtype, kernels=kernels)
        arms.append(partial(muon.step, 1.0))
    ours, theirs = compare(*arms, calls)
    name = str(dtype).removeprefix("torch.")
    return f"| {name} | {rows}x{columns} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |"


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


def digest_line(count: int, length: int, calls: int) -> str:
    """A row for so many messages of that length, in one thread."""
    messages = [np.random.default_rng(n).bytes(length) for n in range(count)]
    ours, theirs = compare(
        lambda: digest_files(messages),
        lambda: [hashlib.blake2b(each, digest_size=DIGEST_BYTES).digest() for each in messages],
        calls,
    )
    return f"| {count} of {length:,} bytes | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |"


def of_bytes(calls: int) -> list[str]:
    """The tables of photos and digests."""
    return [
        f"## A photo of {PHOTO[1]}x{PHOTO[0]} pixels to a square",
        "",
        "| side | compiled | Pillow | ratio |",
        "|---:|---:|---:|---:|",
        *(scaling_line(side, calls) for side in SIDES),
        "",
        "## Digests",
        "",
        "| messages | compiled | hashlib | ratio |",
        "|---:|---:|---:|---:|",
        *(digest_line(*each, calls) for each in MESSAGES),
    ]


def of_floats(calls: int) -> list[str]:
    """The tables of norms, convolutions and steps of Muon."""
    kinds = (torch.float32, torch.bfloat16)
    return [
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
        "## A convolution of 3x3, forward and back",
        "",
        f"Those with fewer than {FEWEST_CHANNELS} channels in or out, or fewer than "
        f"{FEWEST_PIXELS} pixels in the whole batch, or fewer than one for every {WEIGHTS_A_PIXEL} "
        "pairs of a channel in and one out, are left to PyTorch. The rate counts the "
        "multiply-adds of the definition, two operations each.",
        "",
        "| type | volume | kernels | compiled | PyTorch | ratio | GFLOP/s |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(
            convolution_line(*sizes, dtype, max(2, calls // 5))
            for dtype in (kinds if multiplies_bf16() else kinds[:1])
            for sizes in CONVOLUTIONS
        ),
        "",
        "## A convolution of 3x3, a pooling, a norm and a GELU, forward and back",
        "",
        "| type | volume | kernels | pooled by the convolution | by the norm | ratio |",
        "|---|---|---:|---:|---:|---:|",
        *(
            pooled_line(*sizes, dtype, max(2, calls // 5))
            for dtype in (kinds if multiplies_bf16() else kinds[:1])
            for sizes in POOLED
        ),
        "",
        "## A step of Muon",
        "",
        f"Matrices whose shorter side is more than {MOST_ROWS} are left to PyTorch.",
        "",
        "| type of the products | matrix | compiled | PyTorch | ratio |",
        "|---|---|---:|---:|---:|",
        *(
            muon_line(*shape, dtype, max(2, calls // 5))
            for dtype in (kinds if multiplies_bf16() else kinds[:1])
            for shape in MATRICES
        ),
    ]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100, help="timed, of each arm")
    parser.add_argument("--bytes", action="store_true", help="photos and digests alone")
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    calls = 2 if options.quick else options.calls
    keep_freed_memory()
    name = "operators-of-bytes" if options.bytes else "operators"
    lines = of_bytes(calls) if options.bytes else [*of_floats(calls), "", *of_bytes(calls)]
    first = f"Compiled for {processor()}. Medians of {calls} calls, in milliseconds."
    body = "\n".join([first, "", *lines])
    print(body)
    if not options.quick:
        print(write_result(name, "Where compiled operators pay", body))


if __name__ == "__main__":
    main()
