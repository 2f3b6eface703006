"""A trained net with all that is needed to use it: weights, classes, preprocessing, calibration."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data import Preprocessing, escape_name, to_tensor
from striate.errors import DataError
from striate.model.file import (
    FORMAT,
    MODEL_NAME,
    ModelDocument,
    read_model_file,
    write_model_file,
)
from striate.model.inputs import Image, Item, Source, decode, expand
from striate.nets import Net, NetModule
from striate.nets.prediction import Predictor

PIXELS_PER_BATCH = 2**20  # a batch of 1024 images of 32x32, of 20 images of 224x224
MAX_BATCH = 1024
DECODERS = 4


def images_at_a_time(height: int, width: int) -> int:
    """Images of that size whose about a million pixels go through a net together.

    Examples:
        >>> [images_at_a_time(side, side) for side in (8, 32, 224, 2048)]
        [1024, 1024, 20, 1]
    """
    return max(1, min(MAX_BATCH, PIXELS_PER_BATCH // (height * width)))


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        path: The file; None for an array.
        label: The most probable class.
        probability: Its calibrated probability.
        probabilities: The calibrated probability of each class; they sum to 1.
    """

    path: str | None
    label: str
    probability: float
    probabilities: dict[str, float] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Its entry in the document of `predict --json`."""
        return {
            "path": _shown(self.path),
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be predicted, and why.

    Attributes:
        path: The file; None for an array.
        error: One sentence.
    """

    path: str | None
    error: str

    def to_json(self) -> dict[str, Any]:
        """Its entry in the document of `predict --json`."""
        return {"path": _shown(self.path), "error": self.error}


@dataclass(eq=False)
class Model:
    """A net, its weights, and what they mean.

    Attributes:
        net: The net as parsed.
        module: Its weights, an ordinary `torch.nn.Module`; move it to any device.
        classes: The K names, in the order of the logits.
        preprocessing: How an image becomes the net's input.
        temperature: What the logits are divided by, so that probabilities are calibrated.
        provenance: Where the weights come from: run, manifest hash, versions.
    """

    net: Net
    module: NetModule
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)
    _prepared: tuple[NetModule, Predictor] | None = field(default=None, init=False, repr=False)

    def save(self, path: str | Path) -> str:
        """Write the model to one file, atomically: the old file stays until the new one is whole.

        Returns:
            The SHA-256 of the weights.

        Raises:
            ModelError: a weight is not finite.
            ResourceError: the disk is full, or the folder cannot be written.
        """
        document = ModelDocument(
            format=FORMAT,
            net=str(self.module.net),  # with its input
            classes=self.classes,
            preprocessing=self.preprocessing,
            input=self.input,
            temperature=self.temperature,
            provenance=self.provenance,
        )
        return write_model_file(Path(path), document, self.module.state_dict())

    @property
    def input(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the net takes."""
        return (*self.preprocessing.size, self.preprocessing.channels)

    def to(self, device: str | torch.device) -> Self:
        """Move the weights to a device; returns the model."""
        self.module.to(device)
        return self

    def logits(
        self, images: Image, *, batch_size: int | None = None, precision: str = "fp32"
    ) -> NDArray[np.float32]:
        """Send images through the net, as in evaluation: nothing is dropped, statistics are fixed.

        Args:
            images: uint8 (N, H, W, C) of the model's input size; a memory map is read by batches.
            batch_size: Images at a time; None for about a million pixels.
            precision: "fp32", or "bf16" for mixed precision.

        Returns:
            (N, K), before calibration.

        Raises:
            DataError: the images are of another shape or dtype.
        """
        self._check(images)
        predictor = self._predictor()
        step = batch_size or self.batch_size
        logits = np.empty((len(images), len(self.classes)), dtype=np.float32)
        with self._inference(precision) as device:
            for start in range(0, len(images), step):
                pixels = torch.from_numpy(np.array(images[start : start + step])).to(device)
                normalised = to_tensor(pixels, self.preprocessing.mean, self.preprocessing.std)
                outputs = predictor(normalised, precision)
                logits[start : start + step] = outputs.float().cpu().numpy()
        return logits

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, K) of logits (N, K): the softmax at the temperature."""
        scaled = torch.from_numpy(np.asarray(logits, dtype=np.float64)) / self.temperature
        return torch.softmax(scaled, dim=1).numpy()

    def predict(self, items: Iterable[Item] | Item) -> list[Prediction | Unreadable]:
        """Predict images from files, folders (with all that is in them, sorted) or arrays.

        Args:
            items: Paths, and uint8 arrays (H, W, C); or one of them; or an array (N, H, W, C).

        Returns:
            One entry an image, in order; an image that cannot be read does not stop the rest.

        Raises:
            DataError: an array is no image.
        """
        one = isinstance(items, str | Path) or (isinstance(items, np.ndarray) and items.ndim < 4)
        return list(self.iterate([items] if one else items))  # type: ignore[arg-type, list-item]

    def iterate(self, items: Iterable[Item]) -> Iterator[Prediction | Unreadable]:
        """As `predict`, but each prediction as it comes: only one batch of images is held."""
        sources = expand(items)
        with ThreadPoolExecutor(DECODERS) as pool:
            while batch := list(itertools.islice(sources, self.batch_size)):
                # One image would wait longer for a thread than it takes.
                each = pool.map if len(batch) > 1 else map
                yield from self._predict_batch(batch, list(each(self._decode, batch)))

    @property
    def batch_size(self) -> int:
        """Images at a time where nothing else is asked for: about a million pixels."""
        return images_at_a_time(*self.preprocessing.size)

    def _decode(self, source: Source) -> Image | Unreadable:
        try:
            return decode(source, self.preprocessing)
        except DataError as error:
            if source.path is None:
                raise
            return Unreadable(path=source.path, error=error.message)

    def _predict_batch(
        self, sources: list[Source], decoded: list[Image | Unreadable]
    ) -> Iterator[Prediction | Unreadable]:
        images = [image for image in decoded if not isinstance(image, Unreadable)]
        rows: Iterator[list[float]] = iter(())
        if images:
            rows = iter(self.probabilities(self.logits(np.stack(images))).tolist())
        for source, image in zip(sources, decoded, strict=True):
            if isinstance(image, Unreadable):
                yield image
            else:
                probabilities = dict(zip(self.classes, next(rows), strict=True))
                label = max(probabilities, key=probabilities.__getitem__)
                yield Prediction(source.path, label, probabilities[label], probabilities)

    def __getstate__(self) -> dict[str, Any]:
        """For a copy or a pickle: what is prepared can be neither, and is prepared anew."""
        return {**self.__dict__, "_prepared": None}

    def _predictor(self) -> Predictor:
        """The module's function, prepared at the first call."""
        if self._prepared is None or self._prepared[0] is not self.module:
            self._prepared = self.module, Predictor(self.module)
        return self._prepared[1]

    def _check(self, images: Image) -> None:
        if images.dtype != np.uint8 or images.shape[1:] != self.input:
            raise DataError(
                f"images are {images.dtype} {list(images.shape)}, and the model takes uint8 "
                f"(N, {', '.join(map(str, self.input))})"
            )

    @contextmanager
    def _inference(self, precision: str) -> Iterator[torch.device]:
        """Evaluation mode, without gradients; gives the weights' device, restores the modes."""
        held = next(itertools.chain(self.module.parameters(), self.module.buffers()), None)
        device = torch.device("cpu") if held is None else held.device
        training = [layer for layer in self.module.modules() if layer.training]
        for layer in training:
            layer.training = False
        try:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
            ):
                yield device
        finally:
            for layer in training:
                layer.training = True


def load_model(path: str | Path) -> Model:
    """Load a model from its file, or the best model of a run from its folder.

    Nothing in the file is executed: it holds a net's text and numbers, and each is checked first.

    Raises:
        ModelError: the file is missing, damaged, foreign or hostile.
    """
    path = Path(path)
    document, module = read_model_file(path / MODEL_NAME if path.is_dir() else path)
    return Model(
        net=module.net,
        module=module,
        classes=document.classes,
        preprocessing=document.preprocessing,
        temperature=document.temperature,
        provenance=document.provenance,
    )


def _shown(path: str | None) -> str | None:
    return None if path is None else escape_name(path)
