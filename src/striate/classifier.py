"""`ImageClassifier`: a convolutional net as a scikit-learn estimator."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.data import Data
from striate.evaluation import softmax
from striate.jobs.finish import trained_model
from striate.jobs.plan import make_plan
from striate.training.events import Events
from striate.training.folder import RunFolder
from striate.training.loop import fit
from striate.training.machine import limited_threads
from striate.training.recipe import load_recipe
from striate.training.setup import prepare


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a convolutional net on arrays, with the interface of scikit-learn.

    Images are (N, H, W) or (N, H, W, C) with C 1 or 3. Rows of features (N, H*W) or (N, H*W*C), as
    scikit-learn keeps images, are taken as square images where the number is a square or three
    times one, else as one row of pixels; `image_shape` says otherwise. uint8 pixels are taken as
    they are; other numbers are scaled from the range of the training images to 0..255.

    Args:
        net: A net text, name or file, or "auto".
        recipe: A recipe name or TOML file.
        epochs: E; None leaves it to the recipe.
        settings: Dotted fields of the recipe to change, as {"optimizer.lr": 0.1}.
        image_shape: (H, W) or (H, W, C) of the images in rows of features.
        random_state: The seed, a whole number; None is 0, so that a fit can be repeated.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Attributes:
        classes_: The K labels.
        model_: The trained `Model`; `model_.save(path)` writes it.
        n_features_in_: H * W * C.

    Raises:
        DataError, UsageError: As `striate.train`.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> classifier = ImageClassifier(epochs=4).fit(X[:900], y[:900])
        >>> bool(classifier.score(X[900:], y[900:]) > 0.8)
        True
    """

    def __init__(
        self,
        *,
        net: str = "auto",
        recipe: str = "fast",
        epochs: int | None = None,
        settings: Mapping[str, object] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | None = None,
        device: str = "auto",
    ) -> None:
        self.net = net
        self.recipe = recipe
        self.epochs = epochs
        self.settings = settings
        self.image_shape = image_shape
        self.random_state = random_state
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on images X (N, ...) and labels y (N,)."""
        values, labels = validate_data(self, X, y, allow_nd=True, dtype=None)
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        values = np.asarray(values)
        if values.dtype != np.uint8:
            values = values.astype(np.float64)
        self.pixel_range_ = (0.0, 255.0)
        if values.dtype != np.uint8:
            self.pixel_range_ = (float(values.min()), float(values.max()))
        names = [str(label) for label in self.classes_]
        data = Data.from_arrays(self._images(values), targets, classes=names)
        self.model_ = self._train(data)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The probability of each class, float64 (N, K)."""
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, allow_nd=True, dtype=None)
        logits = self.model_.logits(self._images(np.asarray(values)))
        return softmax(logits, temperature=self.model_.temperature)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each image, (N,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def _train(self, data: Data) -> Any:
        settings: dict[str, object] = {"data.validation": 0.0, "data.test": 0.0}
        settings |= {} if self.epochs is None else {"epochs": self.epochs}
        recipe = load_recipe(self.recipe).with_settings({**settings, **(self.settings or {})})
        seed = self.random_state or 0
        split = data.split(validation=recipe.data.validation, test=recipe.data.test, seed=seed)
        plan, _ = make_plan(split, net=self.net, recipe=recipe, seed=seed, device=self.device)
        task, state = prepare(plan, split)
        with tempfile.TemporaryDirectory(prefix="striate-") as scratch:
            folder = RunFolder.create(Path(scratch) / "run")
            try:
                with limited_threads(plan.threads):
                    fit(task, state, folder, Events())
            finally:
                folder.close()
        return trained_model(plan, split, state, {"estimator": "ImageClassifier", "seed": seed})

    def _images(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """uint8 (N, H, W, C) of what the caller gave."""
        shape = values.shape[1:]
        if values.ndim == 2:
            shape = self.image_shape or _square_shape(values.shape[1])
            if math.prod(shape) != values.shape[1]:
                raise ValueError(f"image_shape {shape} does not hold {values.shape[1]} features")
        images = values.reshape(len(values), *shape)
        if images.ndim == 3:
            images = images[..., None]
        if images.dtype == np.uint8:
            return images
        low, high = self.pixel_range_
        scaled = (images.astype(np.float64) - low) / ((high - low) or 1.0)
        return np.rint(np.clip(scaled, 0.0, 1.0) * 255).astype(np.uint8)


def _square_shape(features: int) -> tuple[int, ...]:
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side >= 4 and side * side * channels == features:
            return (side, side, channels)
    return (1, features, 1)
