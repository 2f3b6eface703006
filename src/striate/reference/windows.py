"""A window that slides over an image: how many positions it has, and what it covers at each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.reference.arrays import Index


def exact_output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> float:
    """(W - F + 2P)/S + 1, not rounded: where it is not whole, the window "doesn't fit".

    With dilation D the window reaches D (F - 1) + 1 far, which then stands for F.

    >>> exact_output_size(7, 3, stride=2)
    3.0
    >>> round(exact_output_size(7, 3, stride=3), 2)
    2.33
    """
    reach = dilation * (kernel - 1) + 1
    return (size - reach + 2 * padding) / stride + 1


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil: bool = False,
) -> int:
    """floor((W - F + 2P)/S) + 1, the number of positions of the window along one axis.

    With `ceil` the size is rounded up: the last window may reach over the end, but not start in the
    padding there (PyTorch's rule).

    Raises:
        ValueError: If the window is larger than the padded input.

    >>> output_size(227, 11, stride=4)
    55
    """
    exact = exact_output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    if exact < 1:
        reach = dilation * (kernel - 1) + 1
        raise ValueError(f"a window of {reach} does not fit {size} values with padding {padding}")
    if not ceil:
        return int(np.floor(exact))
    count = int(np.ceil(exact))
    starts_outside = (count - 1) * stride >= size + padding
    return count - starts_outside


def output_sizes(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    *,
    ceil: bool = False,
) -> tuple[int, ...]:
    """`output_size` of every axis: (H, W) -> (Ho, Wo)."""
    return tuple(
        output_size(w, f, stride=s, padding=p, ceil=ceil)
        for w, f, s, p in zip(sizes, kernel, stride, padding, strict=True)
    )


def same_padding(kernel: int) -> int:
    """(F - 1)/2, the padding with which stride 1 keeps the size.

    Raises:
        ValueError: If the kernel has no middle.

    >>> [same_padding(kernel) for kernel in (3, 5, 7)]
    [1, 2, 3]
    """
    if kernel % 2 == 0:
        raise ValueError(f"a kernel of {kernel} has no middle; only odd ones can keep the size")
    return (kernel - 1) // 2


def windows(
    outputs: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[tuple[Index, Index]]:
    """Every position of the window, row by row.

    Args:
        outputs: How many positions there are along each axis.
        kernel: How far the window reaches along each axis.
        stride: How far it moves along each axis.

    Yields:
        Two indices: the place of the position in the output, and the patch under the window in the
        padded input. The dots take all images and all channels, if there are any.

    >>> list(windows((2,), (3,), (2,)))
    [((Ellipsis, 0), (Ellipsis, slice(0, 3, None))), ((Ellipsis, 1), (Ellipsis, slice(2, 5, None)))]
    """
    for place in np.ndindex(*outputs):
        starts = [index * step for index, step in zip(place, stride, strict=True)]
        patch = [slice(start, start + f) for start, f in zip(starts, kernel, strict=True)]
        yield (..., *place), (..., *patch)
