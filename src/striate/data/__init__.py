"""Data: source, check, split, store, batches."""

from importlib import import_module
from typing import TYPE_CHECKING

from striate.data.check import Check, check_data
from striate.data.dataset import Data
from striate.data.decode import decode_full_size, decode_image
from striate.data.load import load_data
from striate.data.names import escape_name, unescape_name
from striate.data.preprocessing import Preprocessing
from striate.data.problem import Problem
from striate.data.records import Origin
from striate.data.sources.named import FoundSet, NamedSet, find_named_sets, named_sets
from striate.data.splits import TEST, TRAIN, UNASSIGNED, VALIDATION, Split

if TYPE_CHECKING:
    from striate.data.augment import Augmentation
    from striate.data.batches import Batch, Batches
    from striate.data.normalise import to_tensor

__all__ = [
    "TEST",
    "TRAIN",
    "UNASSIGNED",
    "VALIDATION",
    "Augmentation",
    "Batch",
    "Batches",
    "Check",
    "Data",
    "FoundSet",
    "NamedSet",
    "Origin",
    "Preprocessing",
    "Problem",
    "Split",
    "check_data",
    "decode_full_size",
    "decode_image",
    "escape_name",
    "find_named_sets",
    "load_data",
    "named_sets",
    "to_tensor",
    "unescape_name",
]

# These need PyTorch, which takes a second to load: checking data must not wait for it.
_WITH_TORCH = {
    "Augmentation": "augment",
    "Batch": "batches",
    "Batches": "batches",
    "to_tensor": "normalise",
}


def __getattr__(name: str) -> object:
    """Load the names that need PyTorch when they are first asked for."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"striate.data.{_WITH_TORCH[name]}"), name)
