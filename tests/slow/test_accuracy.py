"""Real training on real images to stated accuracies; benchmarks/accuracy.py has the longer ones."""

import os
from pathlib import Path
from statistics import fmean

import pytest

import striate

pytestmark = pytest.mark.slow
real_data = pytest.mark.skipif("STRIATE_DATA" not in os.environ, reason="needs STRIATE_DATA")


def test_digits_by_default(tmp_path):
    """Of four seeds: an image of the 270 is 0.4 %, and rounding decides over some."""
    runs = [striate.train("digits", out=tmp_path / str(seed), seed=seed) for seed in range(4)]
    assert fmean(run.test["accuracy"] for run in runs) >= 0.985
    assert all(run.report.stat().st_size < 5_000_000 for run in runs)


@real_data
def test_mnist_in_two_epochs(tmp_path):
    run = striate.train("mnist", out=tmp_path / "run", epochs=2)
    assert run.test["accuracy"] >= 0.985


@real_data
def test_a_folder_of_photos_as_it_is(tmp_path):
    folder = Path(os.environ["STRIATE_DATA"]) / "flowers"
    run = striate.train(folder, out=tmp_path / "run", epochs=20, settings={"data.size": 64})
    assert run.test["interval"][0] > 0.3  # chance is 0.2
    described = striate.load_model(run.path)
    photo = next((folder / "roses").glob("*.jpg"))
    (prediction,) = described.predict(photo)
    assert prediction.label in described.classes
