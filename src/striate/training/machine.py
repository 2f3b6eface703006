"""The machine: which device trains, in which precision, and what to write down about both."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from striate.errors import UsageError
from striate.kernels import processor

WORTHWHILE_RATIO = 1.5
HOPELESS_RATIO = 0.1  # of the small product: bf16 is emulated, and the large one takes seconds
PRODUCTS = (128, 768)  # sides of the matrices
SMALLEST_NET = 5_000_000  # multiply-adds an image; below it the casts cost what the products save
WORTH_A_THREAD = 4_000_000  # multiply-adds; with fewer, threads wait longer than they work
RECORDED_PACKAGES = ("striate", "torch", "numpy", "pillow", "scikit-learn", "safetensors")


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: If the name is none, or the machine has no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, there in present.items() if there), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device {name!r}", hint="use auto, cpu, cuda, cuda:N or mps"
        ) from error
    if device.type != "cpu" and not present.get(device.type, False):
        raise UsageError(f"this machine has no device {name!r}", hint="use --device auto")
    return device


def choose_precision(
    wanted: str, *, device: torch.device, multiply_adds: int, colour: bool = True
) -> tuple[str, str]:
    """Choose "fp32" or "bf16", and say why in one sentence.

    Args:
        wanted: "auto", "fp32" or "bf16".
        device: Where the net trains.
        multiply_adds: Of the net, an image, forward.
        colour: Whether the images have three channels. Grey ones often lie on a constant ground,
            where the rounding of bf16 errs alike everywhere: on MNIST the gradients of the first
            biases came out wrong by a factor of 100, and the net learned nothing.
    """
    if wanted != "auto":
        return wanted, f"{wanted}, as asked for"
    if multiply_adds < SMALLEST_NET:
        return "fp32", "fp32: the net is too small to gain from bf16"
    if not colour:
        return (
            "fp32",
            "fp32: bf16 loses the biases' gradients on grey images with a constant ground",
        )
    if device.type == "mps":
        return "fp32", "fp32: the default on MPS"
    if device.type == "cuda":
        fits = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "bf16: this GPU has it") if fits else ("fp32", "fp32: this GPU has no bf16")
    ratio = _gain_of_bf16()
    chosen = "bf16" if ratio >= WORTHWHILE_RATIO else "fp32"
    return (
        chosen,
        f"{chosen}: matrix products run {ratio:.2g} times as fast in bf16 on this processor",
    )


def _gain_of_bf16() -> float:
    """How many times as fast as in fp32 a matrix product is."""
    gain = 0.0
    for side in PRODUCTS:
        fp32, bf16 = (_product_seconds(side, d) for d in (torch.float32, torch.bfloat16))
        gain = fp32 / bf16
        if gain < HOPELESS_RATIO:
            break
    return gain


def _product_seconds(side: int, dtype: torch.dtype) -> float:
    matrix = torch.ones(side, side, dtype=dtype)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        times.append(time.perf_counter() - start)
    return min(times)


def choose_threads(multiply_adds: int, *, processes: int = 1) -> int:
    """As many threads as a step is worth, at most PyTorch's own number, shared out.

    Args:
        multiply_adds: Of a training batch, forward.
        processes: That share the batch, and the threads.
    """
    most = torch.get_num_threads() // processes
    return max(1, min(most, multiply_adds // processes // WORTH_A_THREAD))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock reads true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def describe_versions() -> dict[str, str]:
    """The versions of Python and of the packages whose behaviour reaches the weights."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Processor and whose compiled operators, cores, memory, system, the GPU where one trains."""
    machine: dict[str, str | int] = {
        "processor": _processor(),
        "kernels": processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return 0
