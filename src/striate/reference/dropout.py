"""Dropout: in every step of training a part of the values is 0 (Srivastava et al. 2014).

This is the inverted form: what stays is multiplied by 1/(1 - rate), so that the expected value is
the same, and in a test nothing has to be done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.reference.arrays import Array

Mask = NDArray[np.bool_]


def dropout(values: Array, mask: Mask, *, rate: float) -> Array:
    """What stays, where the mask is True, times 1/(1 - rate); 0 elsewhere.

    Args:
        values: Of any shape.
        mask: Of the same shape: True for what stays.
        rate: The chance that a value is dropped, below 1.

    >>> dropout(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]), rate=0.5).tolist()
    [2.0, 0.0, 6.0]
    """
    return values * mask / (1 - rate)


def dropout_backward(output_gradient: Array, mask: Mask, *, rate: float) -> Array:
    """What was dropped gets no gradient, the rest gets it times 1/(1 - rate)."""
    return output_gradient * mask / (1 - rate)


def dropout_masks(
    shapes: list[tuple[int, ...]],
    generator: np.random.Generator,
    *,
    input_rate: float = 0.2,
    hidden_rate: float = 0.5,
) -> list[Mask]:
    """A mask for each layer's values: the input's first, then the hidden layers'.

    Inputs are dropped more rarely than hidden units: 0.2 and 0.5 are the paper's rates.

    Args:
        shapes: Of the input, (N, D), and of each hidden layer, (N, K).
        generator: Draws the masks; the same seed draws the same ones.
        input_rate: The chance that an input is dropped.
        hidden_rate: The chance that a hidden unit is dropped.

    Raises:
        ValueError: If a rate is not in 0 <= rate < 1.
    """
    rates = [input_rate] + [hidden_rate] * (len(shapes) - 1)
    if not all(0 <= rate < 1 for rate in rates):
        raise ValueError(f"rates are at least 0 and below 1, not {input_rate} and {hidden_rate}")
    return [generator.random(shape) >= rate for shape, rate in zip(shapes, rates, strict=True)]
