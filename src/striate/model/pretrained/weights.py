"""Pretrained weights: opened, compared with a net, and read into its shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from striate.errors import ModelError
from striate.model.document import parse_document
from striate.model.file import MODEL_NAME, read_metadata
from striate.model.header import DTYPES, METADATA_KEY
from striate.model.pretrained.convert import conversion, convert
from striate.model.pretrained.file import WeightsFile
from striate.model.pretrained.hub import PREFIX, fetch_from_hub
from striate.model.pretrained.layers import (
    NetLayer,
    StoredLayer,
    net_layers,
    stored_layers,
    traced_layers,
)
from striate.model.pretrained.match import Pair, match
from striate.model.pretrained.order import is_auxiliary
from striate.model.pretrained.settings import InputSettings, find_settings, own_settings
from striate.model.tensorfile import TensorFile
from striate.nets import Net, parse_net, zoo_nets
from striate.nets.costs import parameters
from striate.nets.graph import Full

MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Pretrained:
    """A file of weights, before it is known whether they fit a net.

    Attributes:
        source: What was asked for.
        path: The file.
        commit: Of the repository on the hub, if it comes from there.
        sha256: Of the file.
        layers: What it holds.
        settings: How the images were prepared that it was trained on.
        net: The net that the file names, if Striate wrote it.
    """

    source: str
    path: Path
    commit: str | None
    sha256: str
    layers: tuple[StoredLayer, ...]
    settings: InputSettings
    net: Net | None

    def fit(self, net: Net, classes: Sequence[str]) -> Fitted:
        """Compare the weights with a net.

        Args:
            net: With its input, and one output a class.
            classes: The names of the net's outputs.

        Raises:
            ModelError: They do not fit; the message names the first mismatch.
            NetError: The net does not fit its input.
        """
        try:
            pairs = match(net_layers(net), self.layers, self.path)
        except ModelError as error:
            raise ModelError(error.message, path=self.source, hint=self._hint()) from None
        return Fitted(self, pairs, _rows_of_head(pairs, self.settings.classes, classes))

    def likely_net(self) -> tuple[str, Net] | None:
        """The net that the weights are of, with its name.

        The one that the file names, or else the one of the zoo that has as many parameters and that
        they fit; None where there is no such net.
        """
        if self.net is not None:
            return self.net.text, self.net
        layers = [layer for layer in self.layers if not is_auxiliary(layer.name)]
        total = sum(map(_trained, layers))
        for entry in zoo_nets():
            net = parse_net(entry.text)
            if total in _possible_counts(net, layers) and self._fits(net):
                return entry.name, net
        return None

    def _fits(self, net: Net) -> bool:
        try:
            match(net_layers(net), self.layers, self.path)
        except ModelError:
            return False
        return True

    def _hint(self) -> str:
        likely = self.likely_net()
        if likely is None:
            return "no net of the zoo fits these weights"
        name = " ".join(likely[0].split())
        return f"the weights are those of {name if len(name) <= 80 else f'{name[:80]}...'}"


@dataclass(frozen=True)
class Fitted:
    """Weights that fit a net.

    Attributes:
        pretrained: Where they come from.
        pairs: The net's layers with those of the file, the head too if the file has one.
        head_rows: The rows of the file's head for the net's outputs; None where the head is new.
    """

    pretrained: Pretrained
    pairs: tuple[Pair, ...]
    head_rows: tuple[int, ...] | None

    @property
    def old_classes(self) -> int:
        """The number of outputs of the file's head; 0 where it has none."""
        wanted, there = self.pairs[-1]
        return there.tensors["weight"][0] if wanted.is_head else 0

    def converted(self) -> list[tuple[NetLayer, str]]:
        """The layers whose weights are summed to another shape, each with `conversion`'s word."""
        found = []
        for wanted, there in self.used:
            word = conversion(wanted, "weight", there.tensors.get("weight", ()))
            if word not in (None, "none", "flatten"):
                found.append((wanted, str(word)))
        return found

    def read(self) -> dict[str, Tensor]:
        """The weights under the keys of the net's `state_dict`, fp32 on the CPU.

        Raises:
            ModelError: The file cannot be read, has changed, or holds what are no weights.
            ResourceError: There is too little memory.
        """
        weights = {}
        with WeightsFile(self.pretrained.path) as file:
            if file.sha256() != self.pretrained.sha256:
                raise ModelError("has changed while it was read", path=file.path)
            for wanted, there in self.used:
                for part in there.tensors:
                    tensor = file.read(there.tensor_name(part))
                    tensor = convert(wanted, part, tensor)
                    if wanted.is_head and self.head_rows is not None:
                        tensor = tensor[list(self.head_rows)]
                    weights[f"{wanted.prefix}.{part}"] = tensor
        return weights

    @property
    def used(self) -> tuple[Pair, ...]:
        """The pairs whose weights are taken over."""
        new_head = self.head_rows is None and self.pairs[-1][0].is_head
        return self.pairs[:-1] if new_head else self.pairs


def open_pretrained(source: str) -> Pretrained:
    """Find weights, and read what they are without reading them.

    Args:
        source: A safetensors file of torchvision, timm, Striate or others; a run folder; or
            hf:OWNER/NAME[@REVISION].

    Raises:
        ModelError: There are none, they are in another format, damaged or hostile.
        UsageError, DataError, ResourceError: As `fetch_from_hub`.
    """
    commit = None
    if source.startswith(PREFIX):
        fetched = fetch_from_hub(source)
        path, commit = fetched.path, fetched.commit
    else:
        path = Path(source).expanduser()
        path = path / MODEL_NAME if path.is_dir() else path
    with WeightsFile(path) as file:
        shapes = {name: spec.shape for name, spec in file.specs.items()}
        layers = stored_layers(shapes)
        if len(layers) > MOST_LAYERS:
            raise ModelError(f"{len(layers):,} layers; at most {MOST_LAYERS:,}", path=path)
        for name, spec in file.specs.items():
            if not DTYPES[spec.dtype].is_floating_point and name.endswith(("weight", "bias")):
                message = f"tensor {name!r} is {spec.dtype}: quantised weights cannot be trained"
                raise ModelError(message, path=path, hint="give the weights in floating numbers")
        settings, net = _settings_and_net(file, layers)
        sha256 = file.sha256()
    return Pretrained(source, path.absolute(), commit, sha256, tuple(layers), settings, net)


def _settings_and_net(
    file: WeightsFile, layers: Sequence[StoredLayer]
) -> tuple[InputSettings, Net | None]:
    if METADATA_KEY not in file.metadata:
        inception = any(layer.name.startswith("inception") for layer in layers)
        return find_settings(file.path, file.metadata, minus_one_to_one=inception), None
    parse_document(file.metadata[METADATA_KEY], path=file.path)
    with TensorFile(file.path) as own:
        document = read_metadata(own.metadata, file.path)
        own.tensors()  # against their checksum
    return own_settings(document), parse_net(document.net)


def _rows_of_head(
    pairs: Sequence[Pair], old: Sequence[str], new: Sequence[str]
) -> tuple[int, ...] | None:
    """Where the file's head has the new classes, if it is known to have these and no others.

    Names that are all numbers, as arrays have them, are places in a list and say nothing.
    """
    wanted, there = pairs[-1]
    if not wanted.is_head or len(old) != there.tensors["weight"][0] or set(old) != set(new):
        return None
    if all(name.isdecimal() for name in old):
        return None
    places = {name: row for row, name in enumerate(old)}
    return tuple(places[name] for name in new)


def _trained(layer: StoredLayer) -> int:
    return sum(math.prod(s) for part, s in layer.tensors.items() if part in ("weight", "bias"))


def _possible_counts(net: Net, layers: Sequence[StoredLayer]) -> set[int]:
    """The parameters of a net with as many outputs as a layer of the file that may be its head."""
    own = list(traced_layers(net.trace().chain))
    fulls = [part for part in own if isinstance(part.step.layer, Full)]
    if not fulls:
        return set()
    total = sum(parameters(part.step.layer, part.input, part.output) for part in own)
    heads = [shape for layer in layers if len(shape := layer.tensors.get("weight", ())) == 2]
    head = fulls[-1]
    return {total + (shape[0] - head.output.size) * (head.input.size + 1) for shape in heads}
