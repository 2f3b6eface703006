"""What the tests of several rooms share: tiny data that a small net can tell apart."""

import numpy as np
import pytest

from striate.training.events import Events


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """192 grey images of 8x8 in three classes that a small net can tell apart."""
    generator = np.random.default_rng(0)
    labels = np.arange(192) % 3
    images = generator.integers(0, 120, (192, 8, 8), dtype=np.uint8)
    for place, label in enumerate(labels):
        images[place, :, 2 * label : 2 * label + 2] += 120
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, images=images, labels=labels)
    return path


class Heard(Events):
    """Remembers what a training tells."""

    def __init__(self):
        self.said, self.shown, self.lines, self.decoded = [], [], [], []

    def say(self, text):
        self.said.append(text)

    def stored(self, done, total):
        self.decoded.append((done, total))

    def progress(self, progress):
        self.shown.append(progress)

    def measured(self, measurement):
        self.lines.append(measurement)


@pytest.fixture
def heard():
    return Heard()
