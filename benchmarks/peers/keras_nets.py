"""Training steps in Keras on TensorFlow: LeNet-5, an MLP, the whitened net, ResNet-18.

    python keras_nets.py ARRAYS --net lenet5 --batch 256 [--precision bf16] [--jit]

`Model.fit` on a `tf.data` pipeline over images in memory, several short steps in one call of the
graph. The whitened net has SGD for all weights and no augmentation, which is less work than the
recipe's.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from serving import serve

STEPS_A_CALL = {"lenet5": 8, "mlp50": 8}  # where a step is short; else one


def lenet5(classes: int) -> list:
    """LeNet-5 on 28x28x1."""
    return [
        layers.Conv2D(6, 5, activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Conv2D(16, 5, activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.Dense(120, activation="tanh"),
        layers.Dense(84, activation="tanh"),
        layers.Dense(classes),
    ]


def mlp50(classes: int) -> list:
    """One hidden layer of 50 units."""
    return [layers.Flatten(), layers.Dense(50, activation="relu"), layers.Dense(classes)]


def whitened(classes: int) -> list:
    """The whitened net with 64, 256 and 256 kernels; its first layer is frozen."""
    made = [layers.Conv2D(24, 2, trainable=False), layers.Activation("gelu")]
    for width in (64, 256, 256):
        made += [
            layers.Conv2D(width, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(scale=False, momentum=0.6),
            layers.Activation("gelu"),
            layers.Conv2D(width, 3, padding="same", use_bias=False),
            layers.BatchNormalization(scale=False, momentum=0.6),
            layers.Activation("gelu"),
        ]
    return [*made, layers.GlobalMaxPooling2D(), layers.Dense(classes, use_bias=False)]


def resnet18(classes: int) -> list:
    """ResNet-18 with a 3x3 stem, as one layer for `Sequential`."""
    inputs = keras.Input((32, 32, 3))
    x = normalised_convolution(inputs, 64, 3, 1, relu=True)
    for width, stride in (
        (64, 1),
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
    ):
        skip = x
        if x.shape[-1] != width:
            skip = normalised_convolution(x, width, 1, stride, relu=False)
        x = normalised_convolution(x, width, 3, stride, relu=True)
        x = layers.add([normalised_convolution(x, width, 3, 1, relu=False), skip])
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return [keras.Model(inputs, layers.Dense(classes)(x))]


def normalised_convolution(x, width: int, kernel: int, stride: int, *, relu: bool):
    """Convolution, batch normalisation and perhaps a ReLU."""
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


NETS = {"lenet5": lenet5, "mlp50": mlp50, "whitened": whitened, "resnet18": resnet18}


class Training:
    """A compiled model and the images that it sees."""

    def __init__(self, options: argparse.Namespace) -> None:
        keras.utils.set_random_seed(0)
        if options.precision == "bf16":
            keras.mixed_precision.set_global_policy("mixed_bfloat16")
        with np.load(options.arrays) as arrays:
            images, labels = arrays["images"].astype(np.float32) / 255, arrays["labels"]
        images = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
        self.batch, self.count = options.batch, len(labels)
        self.together = STEPS_A_CALL.get(options.net, 1)
        net = [
            *NETS[options.net](int(labels.max()) + 1),
            layers.Activation("linear", dtype="float32"),
        ]
        self.model = keras.Sequential([keras.Input(images.shape[1:]), *net])
        self.model.compile(
            keras.optimizers.SGD(options.rate, options.momentum),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=self.together,
            jit_compile=options.jit,
        )
        order = tf.data.Dataset.range(self.count).shuffle(self.count).repeat()
        images, labels = tf.constant(images), tf.constant(labels)
        self.batches = (
            order.batch(self.batch, drop_remainder=True)
            .map(lambda places: (tf.gather(images, places), tf.gather(labels, places)))
            .prefetch(2)
        )
        self.rate = 0.0
        self.fit(self.together)  # traces the graph
        self.rate = self.fit(self.together)

    def fit(self, steps: int) -> float:
        """Take so many steps; returns images a second."""
        start = time.perf_counter()
        self.model.fit(self.batches, steps_per_epoch=steps, epochs=1, verbose=0)
        return steps * self.batch / (time.perf_counter() - start)

    def measure(self, *, images: int, seconds: float) -> dict:
        """A block of about that time, and no more images."""
        wanted = min(images, self.rate * seconds) / (self.batch * self.together)
        steps = self.together * max(1, round(wanted))
        self.rate = self.fit(steps)
        return {"images": steps * self.batch, "seconds": steps * self.batch / self.rate}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images and labels")
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--jit", action="store_true", help="through XLA")
    serve(Training(parser.parse_args()).measure, "keras", "tensorflow", "tensorflow-cpu")


if __name__ == "__main__":
    main()
