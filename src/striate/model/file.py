"""The model file: what is asked of its document and weights before a net is made of them."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from striate.data import Preprocessing, escape_name
from striate.errors import ModelError, NetError
from striate.model.header import DTYPE_NAMES
from striate.model.tensorfile import TensorFile, is_finite, save_tensors
from striate.nets import Net, NetModule, parse_net
from striate.nets.graph import Whiten
from striate.nets.shapes import TracedChain, TracedParallel

FORMAT = 1
MODEL_NAME = "model.safetensors"
MAX_NET_TEXT = 65_536
MAX_CLASSES = 100_000

_ClassName = Annotated[str, Field(min_length=1, max_length=1000)]


class ModelDocument(BaseModel):
    """The document in the metadata of a model file.

    Attributes:
        format: The version of this layout.
        net: The net's text.
        classes: The K names, in the order of the logits.
        preprocessing: How an image becomes the net's input.
        input: (H, W, C) of that input.
        temperature: What the logits are divided by before the softmax.
        provenance: Where the weights come from: run, manifest hash, versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int
    net: Annotated[str, Field(min_length=1, max_length=MAX_NET_TEXT)]
    classes: Annotated[tuple[_ClassName, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    preprocessing: Preprocessing
    input: tuple[int, int, int]
    temperature: Annotated[float, Field(gt=0)]
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _check_agreement(self) -> ModelDocument:
        if self.input != (*self.preprocessing.size, self.preprocessing.channels):
            raise ValueError("the input size and the preprocessing disagree")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class occurs twice")
        return self


def write_model_file(path: Path, document: ModelDocument, weights: dict[str, Tensor]) -> str:
    """Write a model file, atomically; returns the SHA-256 of its weights.

    Raises:
        ModelError: a weight is not finite.
        ResourceError: the disk is full, or the folder cannot be written.
    """
    for name, tensor in weights.items():
        if not is_finite(tensor):
            raise ModelError(f"weight {name!r} holds NaN or infinity; nothing was saved", path=path)
    return save_tensors(path, weights, document.model_dump(mode="json"))


def read_model_file(path: Path) -> tuple[ModelDocument, NetModule]:
    """Read a model file; the weights take memory once, after all else has been found in order.

    Raises:
        ModelError: the file is missing, damaged, foreign or hostile.
    """
    with TensorFile(path) as file:
        document = read_metadata(file.metadata, path)
        net = _parse(document, path)
        _check_size(net, document, file)
        module = _build(net, document, path)
        _compare(_kinds(file), _expected(module), path)
        file.read_into(module.state_dict())
    return document, module.eval()


def read_metadata(metadata: dict[str, Any], path: Path) -> ModelDocument:
    """The document of a model file, checked.

    Raises:
        ModelError: It is none, or one of another version.
    """
    version = metadata.get("format")
    if "net" not in metadata or "classes" not in metadata:
        raise ModelError("holds tensors, but no model", path=path, hint="give a model.safetensors")
    if version != FORMAT:
        raise ModelError(
            f"has model format {str(version)[:20]!r}, and this Striate reads {FORMAT}",
            path=path,
            hint="update Striate",
        )
    try:
        return ModelDocument.model_validate(metadata)
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ModelError(f"{escape_name(where[:100])}: {first['msg']}", path=path) from None


def _parse(document: ModelDocument, path: Path) -> Net:
    """The net of the document, which gives one logit a class."""
    try:
        net = parse_net(document.net)
        output = net.trace(document.input).output
    except NetError as cause:
        raise _unbuildable(cause, path) from None
    if (output.height, output.width, output.channels) != (1, 1, len(document.classes)):
        raise ModelError(f"its net gives {output}, for {len(document.classes)} classes", path=path)
    return net


def _check_size(net: Net, document: ModelDocument, file: TensorFile) -> None:
    """A few words can describe a net of any size, so it is counted before it is built."""
    needed = net.summary(document.input).parameters + _frozen(net.trace(document.input).chain)
    there = sum(math.prod(spec.shape) for spec in file.specs)
    if needed > there:
        raise ModelError(
            f"its net has {needed:,} parameters, and the file holds {there:,} numbers",
            path=file.path,
        )


def _frozen(chain: TracedChain) -> int:
    """The numbers of whitening layers: they are saved, and count as no parameters."""
    total = 0
    for part in chain:
        if isinstance(part, TracedParallel):
            total += sum(map(_frozen, part.branches))
        elif isinstance(part.step.layer, Whiten):
            patch = part.input.channels * math.prod(part.step.layer.kernel)
            total += 2 * patch * patch
    return total


def _build(net: Net, document: ModelDocument, path: Path) -> NetModule:
    """The net with weights that are to be written over; the caller's random numbers stay."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the net was trained
            return net.build(document.input)
    except NetError as cause:
        raise _unbuildable(cause, path) from None


def _unbuildable(cause: NetError, path: Path) -> ModelError:
    message = cause.message.partition("\n")[0]
    return ModelError(f"its net cannot be built: {message}", path=path)


def _kinds(file: TensorFile) -> dict[str, tuple[tuple[int, ...], str]]:
    return {spec.name: (spec.shape, spec.dtype) for spec in file.specs}


def _expected(module: NetModule) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        name: (tuple(tensor.shape), DTYPE_NAMES[tensor.dtype])
        for name, tensor in module.state_dict().items()
    }


def _compare(
    found: dict[str, tuple[tuple[int, ...], str]],
    expected: dict[str, tuple[tuple[int, ...], str]],
    path: Path,
) -> None:
    """The weights have exactly the names, shapes and dtypes of the net's."""
    for problem, names in (
        ("lacks the weight", expected.keys() - found.keys()),
        ("holds a weight that its net has not:", found.keys() - expected.keys()),
    ):
        if names:
            raise ModelError(f"{problem} {min(names)!r}", path=path)
    for name, (shape, dtype) in expected.items():
        if found[name] != (shape, dtype):
            there = f"{found[name][1]} {list(found[name][0])}"
            raise ModelError(
                f"weight {name!r} is {there}, and its net takes {dtype} {list(shape)}", path=path
            )
