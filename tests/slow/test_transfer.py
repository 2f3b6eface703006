"""What weights trained on other classes are worth where there are few images."""

import os

import numpy as np
import pytest

import striate
from striate.data import TEST, Data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("STRIATE_DATA" not in os.environ, reason="needs STRIATE_DATA"),
]

NET = """input 32x32x3
unit(n) = (conv3-n bn relu conv3-n bn + skip) relu
down(n) = (conv3-n/2 bn relu conv3-n bn + conv1-n/2 bn) relu
conv3-16/2 bn relu unit(16) down(32) unit(32) down(64) unit(64) gap fc-5"""
KNOWN, NEW = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)  # every second class of CIFAR-10


def some_of(data, classes, images):
    """The first training images of some classes, and 2000 of their test images."""
    wanted = np.isin(data.labels, classes)
    train = np.flatnonzero(wanted & (data.splits != TEST))[:images]
    test = np.flatnonzero(wanted & (data.splits == TEST))[:2000]
    names = np.array(data.classes)[data.labels]
    return Data.from_arrays(
        data.images[train], names[train], test_images=data.images[test], test_labels=names[test]
    )


def test_seventy_images_of_new_classes_are_learned_better_from_weights(tmp_path):
    data = striate.load_data("cifar10")
    without = {"data.validation": 0}
    known = striate.train(
        some_of(data, KNOWN, 12_000), net=NET, out=tmp_path / "known", epochs=4, settings=without
    )
    few = some_of(data, NEW, 70)
    accuracies = {}
    for name, settings in (
        ("scratch", without),
        ("tuned", {**without, "transfer.weights": str(known.path)}),
    ):
        runs = (
            striate.train(few, net=NET, out=tmp_path / f"{name}{s}", seed=s, settings=settings)
            for s in range(2)
        )
        accuracies[name] = np.mean([run.test["accuracy"] for run in runs])
    print(accuracies)
    assert accuracies["tuned"] > accuracies["scratch"] + 0.02
