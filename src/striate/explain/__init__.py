"""Seeing what a net does: filters on images, and gradients checked and followed."""

from striate.explain.filters import Filtered, Padding, filter_image
from striate.explain.kernels import KERNELS, SHOWS, Kernel, KernelOptions, make_kernel, read_kernel

__all__ = [
    "KERNELS",
    "SHOWS",
    "Filtered",
    "Kernel",
    "KernelOptions",
    "Padding",
    "filter_image",
    "make_kernel",
    "read_kernel",
]
