"""`ImageClassifier` keeps scikit-learn's contract, and works where its estimators work."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate import ImageClassifier

# Checks that cannot apply to images, each with its reason.
NOT_FOR_IMAGES: dict[str, str] = {}


@parametrize_with_checks(
    [ImageClassifier(epochs=30)], expected_failed_checks=lambda _: NOT_FOR_IMAGES
)
def test_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_digits_as_rows_and_as_images_are_the_same(digits):
    X, y = digits
    rows = ImageClassifier(epochs=3).fit(X[:500], y[:500])
    images = ImageClassifier(epochs=3).fit(X[:500].reshape(-1, 8, 8), y[:500])
    other = X[500:600]
    assert np.array_equal(rows.predict_proba(other), images.predict_proba(other.reshape(-1, 8, 8)))


def test_labels_of_any_kind_come_back(digits):
    X, y = digits
    names = np.array([f"digit {label}" for label in y])
    fitted = ImageClassifier(epochs=4).fit(X[:600], names[:600])
    assert set(fitted.predict(X[600:650])) <= set(names)
    assert fitted.score(X[600:], names[600:]) > 0.8


def test_in_a_pipeline_and_a_grid_search(digits):
    X, y = digits
    pipeline = make_pipeline(MinMaxScaler(), ImageClassifier(epochs=3))
    grid = {"imageclassifier__net": ["conv3-8 relu maxpool2 fc-10", "fc-16 relu fc-10"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X[:600], y[:600])
    assert search.best_params_["imageclassifier__net"] in grid["imageclassifier__net"]
    assert search.best_estimator_.score(X[600:], y[600:]) > 0.5


def test_cross_validation(digits):
    X, y = digits
    assert cross_val_score(ImageClassifier(epochs=4), X[:600], y[:600], cv=2).mean() > 0.7


def test_the_same_seed_gives_the_same_fit_and_another_another(digits):
    X, y = digits
    fits = [ImageClassifier(epochs=2, random_state=s).fit(X[:300], y[:300]) for s in (1, 1, 2)]
    first, again, other = (f.predict_proba(X[300:400]) for f in fits)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_settings_reach_the_recipe(digits):
    X, y = digits
    classifier = ImageClassifier(recipe="lecture", epochs=1, settings={"optimizer.lr": 1e-9})
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.fit(X[:300], y[:300]).score(X[300:], y[300:]) < 0.5


def test_colour_images_and_a_stated_shape():
    generator = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = generator.integers(0, 100, (120, 6, 8, 3), dtype=np.uint8)
    X[y == 1, :, :4] += 120
    fitted = ImageClassifier(epochs=5, image_shape=(6, 8, 3)).fit(X[:80].reshape(80, -1), y[:80])
    assert fitted.score(X[80:].reshape(40, -1), y[80:]) == 1.0
    with pytest.raises(ValueError, match="does not hold 144 features"):
        ImageClassifier(image_shape=(5, 5)).fit(X.reshape(120, -1), y)


def test_the_fitted_model_can_be_saved(digits, tmp_path):
    import striate

    X, y = digits
    fitted = ImageClassifier(epochs=2).fit(X[:300], y[:300])
    fitted.model_.save(tmp_path / "digits.safetensors")
    model = striate.load_model(tmp_path / "digits.safetensors")
    pixels = np.rint(X[300:310] / 16 * 255).astype(np.uint8).reshape(-1, 8, 8, 1)
    assert np.array_equal(model.logits(pixels), fitted.model_.logits(pixels))
