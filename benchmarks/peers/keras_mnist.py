"""The net and the settings of Keras's own simple convnet for MNIST, on TensorFlow.

Two convolutions of 32 and 64 kernels with pooling, dropout, a softmax; Adam, 15 epochs at batch
128, a tenth of the images kept for validation, as there.

    python keras_mnist.py ARRAYS      # an arm: see serving.py

Answers `{"seed": s, "until": a}` with the accuracy after every epoch, up to the first that reaches
a; the seconds are those of training, the trace of the graph (about one) included.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import layers
from serving import serve

EPOCHS, BATCH, VALIDATION = 15, 128, 0.1


def make_model() -> keras.Model:
    """(B, 28, 28, 1) -> (B, 10)."""
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, arrays: str, epochs: int) -> None:
        with np.load(arrays) as held:
            self.images, self.test_images = (
                held[name].astype(np.float32) / 255 for name in ("images", "test_images")
            )
            self.labels, self.test_labels = held["labels"], held["test_labels"]
        self.epochs = epochs

    def measure(self, *, seed: int, until: float = 1.0) -> dict:
        """A whole run, or as much of it as reaches that accuracy."""
        keras.utils.set_random_seed(seed)
        model = make_model()
        seconds, curve = 0.0, []
        for _ in range(self.epochs):
            start = time.perf_counter()
            model.fit(
                self.images,
                self.labels,
                batch_size=BATCH,
                validation_split=VALIDATION,
                verbose=0,
            )
            seconds += time.perf_counter() - start
            scores = model.evaluate(self.test_images, self.test_labels, 1000, verbose=0)
            curve.append((seconds, float(scores[1])))
            if curve[-1][1] >= until:
                break
        return {"accuracy": curve[-1][1], "seconds": seconds, "curve": curve}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images, labels, test_images, test_labels")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    serve(Arm(options.arrays, options.epochs).measure, "keras", "tensorflow-cpu", "tensorflow")


if __name__ == "__main__":
    main()
