"""`ImageClassifier`: a convolutional net as a scikit-learn estimator."""

from __future__ import annotations

import math
import numbers
import operator
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.data import VALIDATION, Data, escape_name
from striate.data.preprocessing import LARGEST_SIDE
from striate.errors import DivergedError, InterruptedRunError, RecipeError, TerminatedRunError
from striate.evaluation import fit_temperature, view_logits
from striate.jobs.finish import trained_model
from striate.jobs.plan import make_plan
from striate.jobs.weights import choose_recipe, read_weights
from striate.model import MODEL_NAME, Model, load_model
from striate.nets import Net
from striate.training.events import Events
from striate.training.folder import RunFolder
from striate.training.loop import fit
from striate.training.machine import choose_device, describe_versions
from striate.training.recipe import Recipe
from striate.training.repeating import repeatable
from striate.training.setup import Plan, prepare
from striate.training.state import TrainingState

SMALLEST_SIDE = 4  # pixels of a square that a row of features is taken for
DEVIATIONS = 8  # from the mean; values beyond them are outliers, and may not take the greys away
BLOCK = 1 << 22  # values that are converted together, so that large data is not copied as floats
ONLY_AT_THE_END = 100_000  # epochs; the most that a recipe has

Shape = tuple[int, int, int]


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a convolutional net on arrays, with the interface of scikit-learn.

    X is images, (N, H, W) or (N, H, W, C) with C 1 or 3, or rows of pixels (N, H*W*C) in that
    order, as scikit-learn keeps images. A row is taken as a square grey image, or a square colour
    one, where its length allows one of at least 4x4, and else as one line of pixels; `image_shape`
    says otherwise.

    The net sees 256 greys. uint8 is taken as it is, and any other X is scaled: from 0..1 or 0..255
    if the training images fill at least half of it, else from the range of the training images,
    without what is more than 8 standard deviations away from their mean.

    All images are trained on. With `settings={"data.validation": 0.1}` a tenth is held out; then
    the weights are those with the least validation loss, and the probabilities are calibrated.

    Args:
        net: A net, its text, name or file, or "auto". Its head is given the classes of y.
        recipe: A recipe, its name, or its TOML file; "auto" is `fast`, or `finetune` where
            settings={"transfer.weights": FILE} names weights to start from.
        epochs: E; None leaves it to the recipe.
        settings: Dotted fields of the recipe to change, as {"optimizer.lr": 0.1}.
        image_shape: (H, W) or (H, W, C) of the images in rows of pixels.
        random_state: The seed; a `RandomState` is asked for one at each fit. None is 0, not another
            seed each time: a fit can be repeated.
        device: Where to train and predict: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Attributes:
        classes_: The K labels, sorted.
        model_: The trained `Model`; `model_.save(path)` writes it. Its classes are text.
        image_shape_: (H, W, C).
        pixel_range_: The values that become 0 and 255.
        views_: The views of an image whose logits are averaged: those of the recipe, or 1 where
            the training mirrored no images.
        n_features_in_: H * W * C.
        feature_names_in_: The columns of X, where it is a table with named ones.

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
        net: str | Net = "auto",
        recipe: str | Path | Recipe = "auto",
        epochs: int | None = None,
        settings: Mapping[str, object] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
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
        """Train on images.

        Args:
            X: Numbers (N, H, W), (N, H, W, C) or (N, H*W*C).
            y: N labels of at least two classes: numbers or text.

        Raises:
            ValueError: If X is not such images, or y not such labels.
            UsageError: If there is no such net, recipe, setting or device, or the net does not fit.
            DivergedError: If the loss does not stay finite.
            ResourceError: If memory or the disk for temporary files is full.
        """
        rows, given = _as_rows(X)
        rows, labels = validate_data(self, rows, y)
        check_classification_targets(labels)
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"ImageClassifier needs at least two classes, and y has one class: {classes[0]!s}"
            )
        self.image_shape_ = self._fitted_shape(given, rows.shape[1])
        self.pixel_range_ = _pixel_range(rows)
        self.classes_ = classes
        names = [escape_name(str(label)) for label in classes]
        data = Data.from_arrays(self._pixels(rows), targets, classes=names)
        try:
            self._train(data, _seed(self.random_state))
        except InterruptedRunError as stop:  # which a search over settings would take for a bad one
            raise KeyboardInterrupt from stop
        except TerminatedRunError as stop:
            raise SystemExit(stop.status) from stop
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The probability of each class.

        Args:
            X: Images or rows, as in `fit`.

        Returns:
            (N, K), the classes in the order of `classes_`.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If X is not such images, or they are of another shape.
        """
        check_is_fitted(self, "model_")
        rows, given = _as_rows(X)
        rows = validate_data(self, rows, reset=False)
        if given is not None and _with_channels(given) != self.image_shape_:
            raise ValueError(
                f"X has images of shape {given}, but ImageClassifier is expecting "
                f"{self.image_shape_} as input."
            )
        model = self.model_.to(choose_device(self.device))
        return model.probabilities(view_logits(model, self._pixels(rows), views=self.views_))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each image.

        Args:
            X: Images or rows, as in `fit`.

        Returns:
            N labels of `classes_`.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If X is not such images, or they are of another shape.
        """
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # The bytes of its file stand for the model, so that no object of PyTorch is pickled.
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = _model_bytes(state["model_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            state = {**state, "model_": _model_from(state["model_"])}
        super().__setstate__(state)

    def _fitted_shape(self, given: tuple[int, ...] | None, features: int) -> Shape:
        """(H, W, C) of the images: as given, and as asked for; a guess where neither says it."""
        likely = _likely_shape(features) if given is None else _with_channels(given)
        shape = likely if self.image_shape is None else _with_channels(self.image_shape)
        if math.prod(shape) != features or (given is not None and shape != likely):
            held = f"{features} features" if given is None else f"images of shape {given}"
            raise ValueError(f"image_shape {self.image_shape} does not hold {held}")
        if max(shape) > LARGEST_SIDE:
            raise ValueError(
                f"images of shape {shape}: a side has at most {LARGEST_SIDE} pixels; "
                "image_shape=(H, W) says how rows of pixels are folded"
            )
        return shape

    def _pixels(self, rows: NDArray[Any]) -> NDArray[np.uint8]:
        """uint8 (N, H, W, C) of rows (N, H*W*C); a value means the same in every dtype."""
        low, high = self.pixel_range_
        if rows.dtype == np.uint8 and self.pixel_range_ == (0, 255):
            pixels = np.ascontiguousarray(rows)
        else:
            pixels = np.empty(rows.shape, np.uint8)
            factor = 255 / ((high - low) or 1)
            for part in _blocks(rows):
                scaled = (rows[part].astype(np.float64) - low) * factor
                pixels[part] = np.rint(scaled.clip(0, 255))
        return pixels.reshape(len(rows), *self.image_shape_)

    def _train(self, data: Data, seed: int) -> None:
        recipe = self._full_recipe()
        data = data.split(validation=recipe.data.validation, test=0, seed=seed)
        plan, _ = make_plan(data, net=self.net, recipe=recipe, seed=seed, device=self.device)
        provenance = {
            "estimator": "ImageClassifier",
            "manifest_hash": data.manifest_hash,
            "pixel_range": list(self.pixel_range_),
            "seed": seed,
            "versions": describe_versions(),
        }
        with _own_random_numbers(plan.device):
            state = _trained_state(plan, data)
            model = trained_model(plan, data, state, provenance).to(plan.device)
        held_out = data.indices(VALIDATION)
        if len(held_out):
            logits = view_logits(model, data.images, indices=held_out)
            model.temperature = fit_temperature(logits, data.labels[held_out])
        self.views_ = 1 if plan.recipe.augment.flip == "none" else int(plan.recipe.views)
        self.model_ = model

    def _full_recipe(self) -> Recipe:
        recipe = choose_recipe(self.recipe, self.settings or {})
        if self.epochs is not None and "epochs" in (self.settings or {}):
            raise RecipeError("epochs is given twice: by itself, and in the settings")
        epochs = recipe.epochs if self.epochs is None else self.epochs
        fields: dict[str, object] = {"data.validation": 0.0, "data.test": 0.0, "epochs": epochs}
        recipe = recipe.with_settings({**fields, **(self.settings or {})})
        if recipe.data.test or recipe.data.size not in (0, *self.image_shape_[:2]):
            raise RecipeError(
                "data.test and data.size are not for ImageClassifier, which takes images as they "
                "are and none for a test",
                hint="leave them out",
            )
        if recipe.data.validation:
            return recipe
        return recipe.with_settings({"stop.evaluate_every": ONLY_AT_THE_END})


def _own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Within it, PyTorch is seeded at will; afterwards the caller's random numbers go on."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _trained_state(plan: Plan, data: Data) -> TrainingState:
    """Train, with a run folder that is gone afterwards."""
    with (
        repeatable(plan.device, plan.threads),
        tempfile.TemporaryDirectory(prefix="striate-") as scratch,
    ):
        task, state = prepare(plan, data, weights=read_weights(plan, data))
        folder = RunFolder.create(Path(scratch) / "run")
        try:
            fit(task, state, folder, Events())
        except DivergedError as error:
            hint = 'try a lower rate, as in settings={"optimizer.lr": ...}'
            raise DivergedError(error.message, hint=hint) from error
        finally:
            folder.close()
    return state


def _as_rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """X with one row an image, and the shape of an image where X told it."""
    array = X if hasattr(X, "ndim") else np.asarray(X)
    if array.ndim < 3:
        return X, None
    array = np.asarray(array)
    return array.reshape(len(array), math.prod(array.shape[1:])), array.shape[1:]


def _with_channels(shape: tuple[int, ...]) -> Shape:
    """(H, W, C) of (H, W) or (H, W, C)."""
    full = tuple(operator.index(side) for side in shape)
    full = (*full, 1) if len(full) == 2 else full
    if len(full) == 3 and min(full) > 0 and full[2] in (1, 3):
        return full
    hint = ""
    if len(full) == 3 and full[0] in (1, 3):
        hint = "; X.transpose(0, 2, 3, 1) moves the channels to the end"
    raise ValueError(f"images of shape {shape}: expected (H, W) or (H, W, C) with C 1 or 3{hint}")


def _likely_shape(features: int) -> Shape:
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side >= SMALLEST_SIDE and side * side * channels == features:
            return (side, side, channels)
    return (1, features, 1)


def _pixel_range(rows: NDArray[Any]) -> tuple[float, float]:
    """The values that become 0 and 255."""
    if rows.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(rows.min()), float(rows.max())
    for top in (1.0, 255.0):
        if low >= 0 and top / 2 <= high <= top:
            return 0.0, top
    mean = float(rows.mean(dtype=np.float64))
    distances = (np.subtract(rows[part], mean, dtype=np.float64) for part in _blocks(rows))
    squares = sum(float(np.square(distance).sum()) for distance in distances)
    reach = DEVIATIONS * math.sqrt(squares / rows.size)
    return max(low, mean - reach), min(high, mean + reach)


def _blocks(rows: NDArray[Any]) -> Iterator[slice]:
    step = max(1, BLOCK // rows.shape[1])
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _seed(random_state: Any) -> int:
    generator = check_random_state(random_state)  # refuses what is none
    if random_state is None:
        return 0
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))


def _model_bytes(model: Model) -> bytes:
    with tempfile.TemporaryDirectory(prefix="striate-") as scratch:
        path = Path(scratch) / MODEL_NAME
        model.save(path)
        return path.read_bytes()


def _model_from(content: bytes) -> Model:
    with tempfile.TemporaryDirectory(prefix="striate-") as scratch:
        path = Path(scratch) / MODEL_NAME
        path.write_bytes(content)
        return load_model(path)
