"""Local response normalisation: AlexNet's competition between neighbouring channels."""

from __future__ import annotations

import numpy as np

from striate.reference.arrays import Array


def response_norm(
    images: Array, *, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """y_i = x_i / (k + alpha * sum of x_j^2 over the n channels j around i)^beta.

    At the first and the last channels the sum is over fewer. Source: Krizhevsky et al. 2012,
    section 3.3, where alpha is not divided by n; in PyTorch it is.

    Args:
        images: (N, C, H, W), or (N, C, L).
        n: How many channels compete; odd, so that i stands in their middle.
        k: What is always there.
        alpha: The weight of the squares.
        beta: The exponent.
    """
    return images / _denominators(images, n, k, alpha) ** beta


def response_norm_backward(
    output_gradient: Array,
    images: Array,
    *,
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Array:
    """x_i stands above its own fraction, and below those of all channels around it.

    With d_j the sum in brackets, dy_j/dx_i is -2 alpha beta x_i x_j / d_j^(beta + 1) for every j
    around i, and for j = i also 1 / d_i^beta.
    """
    denominators = _denominators(images, n, k, alpha)  # (N, C, H, W)
    below = output_gradient * images / denominators ** (beta + 1)
    gradient = output_gradient / denominators**beta
    for channel in range(images.shape[1]):
        around = below[:, _around(channel, n)].sum(axis=1)  # (N, H, W)
        gradient[:, channel] -= 2 * alpha * beta * images[:, channel] * around
    return gradient


def _denominators(images: Array, n: int, k: float, alpha: float) -> Array:
    """The bracket, k + alpha * the sum over the channels around each: (N, C, H, W)."""
    sums = np.zeros(images.shape)
    for channel in range(images.shape[1]):
        sums[:, channel] = (images[:, _around(channel, n)] ** 2).sum(axis=1)
    return k + alpha * sums


def _around(channel: int, n: int) -> slice:
    """The n channels around one, without those before the first.

    Raises:
        ValueError: If n is even.
    """
    if n % 2 == 0:
        raise ValueError(f"{n} channels have no middle; give an odd n")
    return slice(max(0, channel - n // 2), channel + n // 2 + 1)
