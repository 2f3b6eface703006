"""How many weights a layer has: full, local, shared."""

from __future__ import annotations

from math import prod


def full_weights(inputs: int, outputs: int, *, bias: bool = True) -> int:
    """Fully connected: every output has a weight for every input, and a bias.

    >>> full_weights(3 * 256 * 256, 1000, bias=False)
    196608000
    """
    return (inputs + bias) * outputs


def local_weights(
    kernel: tuple[int, ...],
    channels: int,
    outputs: int,
    *,
    bias: bool = True,
) -> int:
    """Locally connected: every output has a weight for each value in its window, and a bias.

    Args:
        kernel: Height and width of the window.
        channels: C of the input.
        outputs: How many values the layer puts out: K * H * W.
        bias: Whether the biases are counted.

    >>> local_weights((11, 11), 3, 55 * 55 * 96)
    105705600
    """
    return (prod(kernel) * channels + bias) * outputs


def shared_weights(
    kernel: tuple[int, ...],
    channels: int,
    kernels: int,
    *,
    bias: bool = True,
) -> int:
    """Convolution: (F F C + 1) K, since all positions share the weights of a kernel.

    Args:
        kernel: Height and width of the window.
        channels: C of the input.
        kernels: K of the output.
        bias: Whether the biases are counted.

    >>> shared_weights((5, 5), 3, 10)
    760
    """
    return (prod(kernel) * channels + bias) * kernels
