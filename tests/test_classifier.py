"""`ImageClassifier` keeps scikit-learn's contract, and works where its estimators work."""

import copy
import io
import os
import pickle
import signal
import threading
import time
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import striate
from striate import DivergedError, ImageClassifier, RecipeError
from striate.nets import parse_net
from striate.training.recipe import load_recipe

SMALL = "fc-8 relu fc-2"


@parametrize_with_checks([ImageClassifier(epochs=15)])
def test_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits
    return ImageClassifier(epochs=2).fit(X[:300], y[:300])


def two_colours(count=120):
    """Images uint8 (N, 6, 8, 3) whose left half is bright where y is 1."""
    generator = np.random.default_rng(0)
    y = np.arange(count) % 2
    X = generator.integers(0, 100, (count, 6, 8, 3), dtype=np.uint8)
    X[y == 1, :, :4] += 120
    return X, y


# Where estimators are used.


def test_in_a_pipeline_and_a_grid_search(digits):
    X, y = digits
    pipeline = make_pipeline(MinMaxScaler(), ImageClassifier(epochs=5))
    grid = {
        "imageclassifier__net": ["conv3-8 relu maxpool2 fc-10", "fc-16 relu fc-10"],
        "imageclassifier__settings": [None, {"optimizer.lr": 0.1}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X[:600], y[:600])
    assert search.best_params_["imageclassifier__net"] in grid["imageclassifier__net"]
    assert search.best_estimator_.score(X[600:], y[600:]) > 0.5


def test_cross_validation_by_processes_is_that_of_one(digits, request):
    """With as many threads: some processors' matrix products round otherwise by more."""
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(1)  # as joblib has it where each processor has a process
    X, y = digits
    classifier = ImageClassifier(epochs=4)
    alone, shared = (
        cross_val_score(classifier, X[:600], y[:600], cv=2, n_jobs=jobs) for jobs in (None, 2)
    )
    assert alone.mean() > 0.7
    assert np.array_equal(alone, shared)


def test_a_fit_in_a_thread(digits, fitted):
    X, y = digits
    again = clone(fitted)
    thread = threading.Thread(target=again.fit, args=(X[:300], y[:300]))
    thread.start()
    thread.join()
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_the_parameters_can_be_objects_and_are_cloned(digits):
    X, y = digits
    net, recipe = parse_net("fc-8 relu fc-10"), load_recipe("lecture")
    classifier = clone(ImageClassifier(net=net, recipe=recipe, epochs=1))
    assert classifier.fit(X[:100], y[:100]).model_.net.text.endswith("fc-8 relu fc-10")
    assert clone(classifier).get_params() == classifier.get_params()


# Images.


def test_rows_and_images_are_the_same(digits, fitted):
    X, y = digits
    images = ImageClassifier(epochs=2).fit(X[:300].reshape(-1, 8, 8), y[:300])
    shapes = [(-1, 64), (-1, 8, 8), (-1, 8, 8, 1)]
    other = [model.predict_proba(X.reshape(s)) for s in shapes for model in (images, fitted)]
    assert all(np.array_equal(other[0], probabilities) for probabilities in other)
    assert (fitted.n_features_in_, fitted.image_shape_) == (64, (8, 8, 1))


def test_colour_images_and_a_stated_shape():
    X, y = two_colours()
    fitted = ImageClassifier(epochs=5, image_shape=(6, 8, 3)).fit(X[:80].reshape(80, -1), y[:80])
    assert fitted.score(X[80:].reshape(40, -1), y[80:]) == fitted.score(X[80:], y[80:]) == 1.0


@pytest.mark.parametrize(
    ("features", "shape"),
    [
        (64, (8, 8, 1)),
        (48, (4, 4, 3)),
        (12, (1, 12, 1)),
        (9, (1, 9, 1)),
        (50, (1, 50, 1)),
        (1, (1, 1, 1)),
    ],
)
def test_rows_are_taken_for_squares_where_they_can_be(features, shape):
    X = np.random.default_rng(0).random((20, features))
    fitted = ImageClassifier(net="fc-2", epochs=1).fit(X, np.arange(20) % 2)
    assert fitted.image_shape_ == shape
    assert fitted.model_.input == shape


@pytest.mark.parametrize(
    ("shape", "image_shape", "message"),
    [
        ((20, 64), (5, 5), r"image_shape \(5, 5\) does not hold 64 features"),
        ((20, 8, 6), (6, 8), r"image_shape \(6, 8\) does not hold images of shape \(8, 6\)"),
        ((20, 64), (4, 4, 4), r"images of shape \(4, 4, 4\): expected .* with C 1 or 3$"),
        ((20, 64), (64,), r"images of shape \(64,\): expected"),
        ((20, 3, 8, 8), None, r"with C 1 or 3; X.transpose\(0, 2, 3, 1\) moves the channels"),
        ((20, 2, 2, 2, 3), None, r"images of shape \(2, 2, 2, 3\): expected \(H, W\)"),
        ((4, 5000), None, r"at most 4096 pixels; image_shape=\(H, W\) says how"),
        ((0, 8, 8), None, "0 sample"),
        ((20, 8, 0), None, r"0 feature"),
    ],
)
def test_what_is_no_images_is_refused(shape, image_shape, message):
    with pytest.raises(ValueError, match=message):
        ImageClassifier(image_shape=image_shape).fit(np.zeros(shape), np.arange(shape[0]) % 2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5, 32), "X has 32 features, but ImageClassifier"), ((5, 4, 16), "expecting .8, 8, 1. as")],
)
def test_images_of_another_shape_are_not_predicted(fitted, shape, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(np.zeros(shape))


# Pixels.


def test_a_value_means_the_same_in_every_dtype():
    X, y = two_colours()
    kinds = [X, X.astype(np.int64), X.astype(np.float32), X / 255, (X / 255).astype(np.float16)]
    proba = [
        ImageClassifier(net=SMALL, epochs=1).fit(kind, y).predict_proba(kind) for kind in kinds
    ]
    assert all(np.array_equal(proba[0], other) for other in proba[1:4])
    assert np.allclose(proba[0], proba[4], atol=0.01)  # half precision has fewer greys
    fitted = ImageClassifier(net=SMALL, epochs=1).fit(X / 255, y)
    assert np.array_equal(
        fitted.predict_proba(np.ones((1, 6, 8, 3), np.uint8)), proba_of_white(fitted)
    )


def proba_of_white(fitted):
    return fitted.predict_proba(np.ones((1, *fitted.image_shape_)))


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.array([3, 7], np.uint8), 0, 255),
        (np.array([False, True]), 0, 1),
        (np.array([0.1, 0.6]), 0, 1),
        (np.array([0.1, 0.3]), 0.1, 0.3),
        (np.array([2, 200]), 0, 255),
        (np.array([0, 16.0]), 0, 16),
        (np.array([-1.0, 1.0], np.float16), -1, 1),
        (np.array([5.0, 5.0]), 5, 5),
        (np.array([-1e200, 1e200]), -1e200, 1e200),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_the_range_of_the_pixels(values, low, high):
    X = np.resize(values, (40, 25))
    fitted = ImageClassifier(net="fc-2", epochs=1).fit(X, np.arange(40) % 2)
    assert fitted.pixel_range_ == pytest.approx((low, high))
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_an_outlier_does_not_take_the_greys_away(digits):
    X, y = digits[0].copy(), digits[1]
    X[7, 3] = 1e6
    fitted = ImageClassifier(net="fc-10", epochs=1).fit(X[:600], y[:600])
    low, high = fitted.pixel_range_
    assert low == 0
    assert high < 1e5
    X[7, 3] = 100
    fitted = ImageClassifier(epochs=4).fit(X[:600], y[:600])
    assert fitted.pixel_range_[1] < 60
    assert fitted.score(X[600:], y[600:]) > 0.8


def test_images_without_any_difference_train_to_numbers():
    X = np.full((20, 8, 8), 7.0)
    X[:, :4] = 3
    fitted = ImageClassifier(epochs=2).fit(X, np.arange(20) % 2)
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_memory_that_is_read_only_or_strided():
    X, y = two_colours()
    rows = X.reshape(len(X), -1)
    wide = np.hstack([rows, rows])[:, : rows.shape[1]]
    wide.flags.writeable = False
    plain, other = (
        ImageClassifier(net=SMALL, epochs=1, image_shape=(6, 8, 3)).fit(kind, y)
        for kind in (rows, wide)
    )
    assert np.array_equal(plain.predict_proba(rows), other.predict_proba(np.asfortranarray(wide)))


# Labels.


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cat", "ein Hund\n\\"]),
        np.array(["cat", "dog"], dtype=object),
        np.array([True, False]),
        np.array([-3, 2**40]),
        np.array([1.0, 2.0]),
        ["a", "b"],
    ],
)
def test_labels_of_any_kind_come_back(labels):
    X, y = two_colours()
    named = np.asarray(labels)[y]
    fitted = ImageClassifier(epochs=5).fit(X, list(named) if isinstance(labels, list) else named)
    assert np.array_equal(fitted.predict(X), named)
    assert np.array_equal(fitted.classes_, np.unique(named))
    assert pickle.loads(pickle.dumps(fitted)).classes_.dtype == fitted.classes_.dtype


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="needs at least two classes, and y has one class: cat"):
        ImageClassifier().fit(np.zeros((4, 64)), ["cat"] * 4)


# The recipe and the seed.


@pytest.mark.parametrize("states", [(1, np.int64(1), 2), ("same", "same", "other")])
def test_the_same_seed_gives_the_same_fit_and_another_another(digits, states):
    X, y = digits
    first, again, other = (
        ImageClassifier(net="fc-10", epochs=1, random_state=_random_state(state))
        .fit(X[:200], y[:200])
        .predict_proba(X[300:400])
        for state in states
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def _random_state(state):
    """A number as it is; a generator, made anew, for a word."""
    return np.random.RandomState(len(state)) if isinstance(state, str) else state


def test_what_is_no_random_state_is_refused(digits):
    X, y = digits
    with pytest.raises(ValueError, match="cannot be used to seed"):
        ImageClassifier(random_state="one").fit(X, y)


def test_the_random_numbers_of_the_caller_stay(digits):
    X, y = digits
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ImageClassifier(net="fc-10", epochs=1).fit(X[:100], y[:100])
    assert torch.equal(torch.rand(3), expected)


def test_settings_reach_the_recipe(digits):
    X, y = digits
    classifier = ImageClassifier(recipe="lecture", epochs=1, settings={"optimizer.lr": 1e-9})
    assert classifier.fit(X[:300], y[:300]).score(X[300:], y[300:]) < 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.test": 0.2}, "data.test and data.size are not for ImageClassifier"),
        ({"data.size": 32}, "data.test and data.size are not for ImageClassifier"),
        ({"optimizer.rate": 1}, "unknown setting 'optimizer.rate'"),
    ],
)
def test_settings_without_a_use_are_refused(digits, settings, message):
    X, y = digits
    with pytest.raises(RecipeError, match=message):
        ImageClassifier(settings=settings).fit(X[:100], y[:100])


def test_images_held_out_for_validation_calibrate(digits):
    X, y = digits
    settings = {"data.validation": 0.2}
    fitted = ImageClassifier(epochs=4, settings=settings).fit(X[:900], y[:900])
    calibrated = log_loss(y[900:], fitted.predict_proba(X[900:]))
    fitted.model_.temperature = 1.0
    assert calibrated < log_loss(y[900:], fitted.predict_proba(X[900:]))


def test_mirrored_views_only_where_the_training_mirrored(digits):
    X, y = digits
    grey = ImageClassifier(net="fc-10", recipe="thorough", epochs=1).fit(X[:100], y[:100])
    colour = ImageClassifier(net=SMALL, recipe="thorough", epochs=1).fit(*two_colours())
    assert (grey.views_, colour.views_) == (1, 2)
    X, _ = two_colours()
    mirrored = colour.predict_proba(X[:, :, ::-1])
    assert np.allclose(colour.predict_proba(X), mirrored, atol=1e-6)


def test_a_loss_that_is_no_number_is_an_error_without_the_folder_that_is_gone(digits):
    X, y = digits
    wild = ImageClassifier(
        net="fc-64 fc-64 fc-10", recipe="lecture", epochs=9, settings={"optimizer.lr": 1000}
    )
    with pytest.raises(DivergedError, match="settings=") as error:
        wild.fit(X[:300], y[:300])
    assert error.value.path is None


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_more_than_the_fit(number, raised):
    """Not as an error of this fit, which a search would pass over."""
    before = signal.getsignal(number)

    def send_when_training():
        while signal.getsignal(number) == before:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    X, y = two_colours()
    threading.Thread(target=send_when_training, daemon=True).start()
    with pytest.raises(raised) as stop:
        ImageClassifier(net=SMALL, epochs=100_000).fit(X, y)
    assert signal.getsignal(number) == before
    if number == signal.SIGTERM:
        assert stop.value.code == 143


# What is kept.


def test_before_the_fit_nothing_is_predicted():
    with pytest.raises(NotFittedError):
        ImageClassifier().predict(np.zeros((2, 64)))


def test_a_fit_that_failed_is_no_fit():
    classifier = ImageClassifier(net="fc-")
    with pytest.raises(striate.NetError):
        classifier.fit(np.zeros((4, 64)), [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        classifier.predict(np.zeros((2, 64)))


def test_copies_predict_the_same(digits, fitted, tmp_path):
    X, _ = digits
    joblib.dump(fitted, tmp_path / "digits.joblib", compress=3)
    copies = [joblib.load(tmp_path / "digits.joblib"), copy.deepcopy(fitted)]
    for one in copies:
        assert np.array_equal(one.predict_proba(X), fitted.predict_proba(X))
    assert copies[1].model_ is not fitted.model_


def test_no_object_of_torch_is_pickled(fitted):
    modules = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            modules.add(module.partition(".")[0])
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(fitted))).load()
    assert modules == {"striate", "numpy"}


def test_the_fitted_model_can_be_saved(digits, fitted, tmp_path):
    X, _ = digits
    fitted.model_.save(tmp_path / "digits.safetensors")
    model = striate.load_model(tmp_path / "digits.safetensors")
    pixels = np.rint(X[300:310] / 16 * 255).astype(np.uint8).reshape(-1, 8, 8, 1)
    assert np.array_equal(
        model.probabilities(model.logits(pixels)), fitted.predict_proba(X[300:310])
    )
    assert model.provenance["pixel_range"] == [0, 16]


def test_the_epochs_are_given_once():
    X, y = np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1]
    with pytest.raises(RecipeError, match="epochs is given twice"):
        ImageClassifier(epochs=5, settings={"epochs": 7}).fit(X, y)
