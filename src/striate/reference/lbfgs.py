"""L-BFGS: Newton's method with a curvature that is guessed from the last steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from striate.reference.arrays import Array
from striate.reference.optimizers import Gradient

Loss = Callable[[Array], float]


def lbfgs(
    theta: Array, loss: Loss, gradient: Gradient, *, steps: int, memory: int = 10
) -> Iterator[Array]:
    """`theta <- theta - a H g`, with H the inverse curvature as the last `memory` steps show it.

    Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5. It needs the exact gradient.
    It ends early where no step lowers the loss.

    Args:
        theta: Where to start: float64 (D,).
        loss: What to lower.
        gradient: Its gradient.
        steps: At most so many.
        memory: How many past steps are remembered.
    """
    pairs: list[tuple[Array, Array]] = []  # each step, and how the gradient changed over it
    slope = gradient(theta)
    for _ in range(steps):
        direction = -_times_inverse_curvature(slope, pairs)
        step = _size(theta, direction, loss, gradient) * direction
        if not step.any():
            return
        theta, before, slope = theta + step, slope, gradient(theta + step)
        pairs = [*pairs, (step, slope - before)][-memory:]
        yield theta


def _times_inverse_curvature(vector: Array, pairs: list[tuple[Array, Array]]) -> Array:
    """H vector, by the two loops: back through the steps, scale, and forth again."""
    shares = []
    for step, change in reversed(pairs):
        share = (step @ vector) / (step @ change)
        vector = vector - share * change
        shares.append(share)
    if pairs:
        step, change = pairs[-1]
        vector = vector * (step @ change) / (change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        vector = vector + (share - (change @ vector) / (step @ change)) * step
    return vector


def _size(theta: Array, direction: Array, loss: Loss, gradient: Gradient) -> float:
    """How far to go: until the loss has fallen, and the slope has flattened (Wolfe's conditions).

    The second makes the curvature along the step positive, as `_times_inverse_curvature` needs it.
    """
    start, promised = loss(theta), gradient(theta) @ direction
    shortest, longest, size = 0.0, math.inf, 1.0
    for _ in range(50):
        there = theta + size * direction
        if loss(there) > start + 1e-4 * size * promised:
            longest = size
        elif gradient(there) @ direction < 0.9 * promised:
            shortest = size
        else:
            return size
        size = 2 * shortest if longest == math.inf else (shortest + longest) / 2
    return 0.0
