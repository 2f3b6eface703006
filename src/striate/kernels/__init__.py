"""Compiled operators for the CPU, and what they need of the system. No compiler: PyTorch's do."""

from striate.kernels.digest import DIGEST_BYTES, can_digest, digest_messages
from striate.kernels.gather import (
    Colours,
    Moves,
    Scaling,
    Squares,
    can_gather,
    gather_images,
)
from striate.kernels.library import load_library, multiplies_bf16, processor
from striate.kernels.memory import keep_freed_memory
from striate.kernels.muon import can_step_muon, count_muon_flop, step_muon
from striate.kernels.norm import normalize_batch, scale_and_activate
from striate.kernels.resize import Box, can_resize, resize_image
from striate.kernels.shift import shift_and_activate
from striate.kernels.trunk import TRUNK_ACTIVATIONS, TrunkLayer, can_run_trunk, run_trunk
from striate.kernels.volumes import ACTIVATIONS, can_fuse
from striate.kernels.winograd import can_convolve, convolve

__all__ = [
    "ACTIVATIONS",
    "DIGEST_BYTES",
    "TRUNK_ACTIVATIONS",
    "Box",
    "Colours",
    "Moves",
    "Scaling",
    "Squares",
    "TrunkLayer",
    "can_convolve",
    "can_digest",
    "can_fuse",
    "can_gather",
    "can_resize",
    "can_run_trunk",
    "can_step_muon",
    "convolve",
    "count_muon_flop",
    "digest_messages",
    "gather_images",
    "keep_freed_memory",
    "load_library",
    "multiplies_bf16",
    "normalize_batch",
    "processor",
    "resize_image",
    "run_trunk",
    "scale_and_activate",
    "shift_and_activate",
    "step_muon",
]
