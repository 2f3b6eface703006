"""The room's own rules: NumPy alone, short files, and a way back for every layer."""

import ast
import inspect
import sys
from pathlib import Path

import pytest

from striate import reference

FILES = sorted(Path(reference.__file__).parent.glob("*.py"))
LAYERS = [
    "average_pool",
    "batch_norm_testing",
    "batch_norm_training",
    "convolution",
    "dilate",
    "dropout",
    "flatten",
    "fully_connected",
    "global_average",
    "l2_pool",
    "layer_norm",
    "locally_connected",
    "max_pool",
    "max_unpool",
    "nails",
    "nearest",
    "response_norm",
    "transposed_convolution",
]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_imports_numpy_alone(path):
    allowed = {"numpy", *sys.stdlib_module_names}
    for name in imported(path):
        assert name.startswith("striate.reference") or name.split(".")[0] in allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_has_more_than_200_lines(path):
    assert len(path.read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_goes_both_ways(name):
    backward = inspect.signature(getattr(reference, f"{name}_backward"))
    assert next(iter(backward.parameters)) == "output_gradient"
    assert name in reference.__all__


@pytest.mark.parametrize("name", reference.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert inspect.getdoc(getattr(reference, name))
