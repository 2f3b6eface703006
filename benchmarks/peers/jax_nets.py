"""Training steps in JAX with flax and optax: LeNet-5, an MLP, the whitened net, ResNet-18.

    python jax_nets.py ARRAYS --net lenet5 --batch 256 [--precision bf16]

One jitted step with donated buffers, the gather of the batch inside it. The whitened net has SGD
for all weights and no augmentation, which is less work than the recipe's.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from serving import serve, timed_steps

Array = Any


class LeNet5(nn.Module):
    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """(B, 28, 28, 1) -> (B, K)."""
        for width in (6, 16):
            x = nn.tanh(nn.Conv(width, (5, 5), padding="VALID", dtype=self.dtype)(x))
            x = nn.avg_pool(x, (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = nn.tanh(nn.Dense(width, dtype=self.dtype)(x))
        return nn.Dense(self.classes, dtype=self.dtype)(x)


class MLP50(nn.Module):
    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """(B, H, W, C) -> (B, K)."""
        x = nn.relu(nn.Dense(50, dtype=self.dtype)(x.reshape(len(x), -1)))
        return nn.Dense(self.classes, dtype=self.dtype)(x)


class Whitened(nn.Module):
    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """(B, 32, 32, 3) -> (B, K)."""
        norm = partial(nn.BatchNorm, not train, momentum=0.6, use_scale=False, dtype=self.dtype)
        conv = partial(nn.Conv, kernel_size=(3, 3), use_bias=False, dtype=self.dtype)
        x = nn.gelu(nn.Conv(24, (2, 2), padding="VALID", dtype=self.dtype)(x), approximate=False)
        x = jax.lax.stop_gradient(x)  # frozen
        for width in (64, 256, 256):
            x = nn.max_pool(conv(width)(x), (2, 2), (2, 2))
            x = nn.gelu(norm()(x), approximate=False)
            x = nn.gelu(norm()(conv(width)(x)), approximate=False)
        return nn.Dense(self.classes, use_bias=False, dtype=self.dtype)(x.max((1, 2)))


class ResNet18(nn.Module):
    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """(B, 32, 32, 3) -> (B, K)."""
        norm = partial(nn.BatchNorm, not train, dtype=self.dtype)
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        x = nn.relu(norm()(conv(64, (3, 3))(x)))
        for width in (64, 128, 256, 512):
            for unit in range(2):
                stride = (2, 2) if unit == 0 and width > 64 else (1, 1)
                skip = x
                if x.shape[-1] != width:
                    skip = norm()(conv(width, (1, 1), stride)(x))
                x = nn.relu(norm()(conv(width, (3, 3), stride)(x)))
                x = nn.relu(norm()(conv(width, (3, 3))(x)) + skip)
        return nn.Dense(self.classes, dtype=self.dtype)(x.mean((1, 2)))


NETS = {"lenet5": LeNet5, "mlp50": MLP50, "whitened": Whitened, "resnet18": ResNet18}


class Training:
    """A jitted step, its state, and the images that it sees."""

    def __init__(self, options: argparse.Namespace) -> None:
        with np.load(options.arrays) as arrays:
            images, labels = arrays["images"].astype(np.float32) / 255, arrays["labels"]
        images = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
        self.images, self.labels = jnp.asarray(images), jnp.asarray(labels)
        self.batch = options.batch
        dtype = jnp.bfloat16 if options.precision == "bf16" else jnp.float32
        net = NETS[options.net](int(labels.max()) + 1, dtype)
        variables = net.init(jax.random.key(0), self.images[:2], False)
        self.parameters = variables.pop("params")
        self.statistics = variables
        optimizer = optax.sgd(options.rate, options.momentum or None)
        self.memory = optimizer.init(self.parameters)
        self._step = make_step(net, optimizer)
        self._random, self._order = np.random.default_rng(0), np.empty(0, np.int64)
        self.step()  # compiles

    def step(self) -> int:
        """Take one, to its end."""
        if len(self._order) < self.batch:
            self._order = self._random.permutation(len(self.labels))
        places, self._order = self._order[: self.batch], self._order[self.batch :]
        self.parameters, self.statistics, self.memory, loss = self._step(
            self.parameters, self.statistics, self.memory, self.images, self.labels, places
        )
        loss.block_until_ready()
        return self.batch


def make_step(net: nn.Module, optimizer: optax.GradientTransformation) -> Any:
    """The jitted step: gather, forward, backward, update."""

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters, statistics, memory, images, labels, places):
        def loss_of(parameters):
            variables = {"params": parameters, **statistics}
            logits, changed = net.apply(variables, images[places], True, mutable=list(statistics))
            each = optax.softmax_cross_entropy_with_integer_labels(
                logits.astype(jnp.float32), labels[places]
            )
            return each.mean(), changed

        (loss, changed), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters)
        updates, memory = optimizer.update(gradients, memory, parameters)
        return optax.apply_updates(parameters, updates), changed, memory, loss

    return step


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images and labels")
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    training = Training(parser.parse_args())
    serve(
        lambda images, seconds: timed_steps(training.step, images=images, seconds=seconds),
        *("jax", "flax", "optax"),
    )


if __name__ == "__main__":
    main()
