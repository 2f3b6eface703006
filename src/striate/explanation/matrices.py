"""Small arrays as matrices on the terminal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LONGEST_ROW = 16  # numbers side by side
MOST_DECIMALS = 5
CLOSE = 1e-3  # of the largest number: what may be lost by rounding


def matrix_lines(array: Array) -> list[str]:
    """An array in lines: rows of numbers, matrices side by side, kernels one under the other.

    Arrays of one shape have as many lines.

    >>> for line in matrix_lines(np.array([[[1.0, 2.0], [-0.5, 4.0]], [[5, 6], [7, 8]]])):
    ...     print(line)
    [  1.0  2.0 ]  [ 5.0  6.0 ]
    [ -0.5  4.0 ]  [ 7.0  8.0 ]

    Args:
        array: (K,), (K, D), (C, H, W) or (K, C, Fh, Fw); of more axes, the first ones count as K.
    """
    number = _format(array)
    if array.shape[-2:] == (1, 1) and array.ndim > 2:
        array = array[..., 0, 0]  # one position: the channels in a row
    if array.ndim <= 2:
        return _matrix(array.reshape(-1, array.shape[-1]), number)
    channels = 0 if array.ndim > 3 and array.shape[-3] == 1 else array.shape[-3]
    volumes = array.reshape(-1, channels or len(array), *array.shape[-2:])
    at_once = max(1, LONGEST_ROW // array.shape[-1])
    rows = [
        [_matrix(matrix, number) for matrix in volume[start : start + at_once]]
        for volume in volumes
        for start in range(0, volume.shape[0], at_once)
    ]
    blocks = [["  ".join(line) for line in zip(*row, strict=True)] for row in rows]
    apart = [""] if len(blocks) > 1 and len(blocks[0]) > 1 else []
    return [line for block in blocks for line in (*apart, *block)][len(apart) :]


def _format(array: Array) -> str:
    """As few decimals as show every number well, the same for all."""
    largest = np.abs(array).max()
    for decimals in range(MOST_DECIMALS + 1):
        if np.abs(array.round(decimals) - array).max() <= CLOSE * largest < 1e3:
            return f".{decimals}f"
    return ".1e"


def _matrix(matrix: Array, number: str) -> list[str]:
    texts = [[f"{value + 0.0:{number}}" for value in row] for row in matrix]
    widths = [max(len(row[place]) for row in texts) for place in range(matrix.shape[1])]
    return [
        "[ " + "  ".join(f"{text:>{w}}" for text, w in zip(row, widths, strict=True)) + " ]"
        for row in texts
    ]
