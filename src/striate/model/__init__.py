"""The saved model: net text, weights, classes, preprocessing, calibration; load, save, predict."""

from striate.model.atomic import (
    TEMPORARY_SUFFIX,
    atomic_file,
    sweep_temporaries,
    write_atomically,
)
from striate.model.document import parse_document, read_document
from striate.model.file import MODEL_NAME
from striate.model.inputs import Item
from striate.model.model import Model, Prediction, Unreadable, load_model
from striate.model.tensorfile import (
    TensorFile,
    hash_tensors,
    is_finite,
    load_tensors,
    save_tensors,
)

__all__ = [
    "MODEL_NAME",
    "TEMPORARY_SUFFIX",
    "Item",
    "Model",
    "Prediction",
    "TensorFile",
    "Unreadable",
    "atomic_file",
    "hash_tensors",
    "is_finite",
    "load_model",
    "load_tensors",
    "parse_document",
    "read_document",
    "save_tensors",
    "sweep_temporaries",
    "write_atomically",
]
