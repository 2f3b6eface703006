"""At which points minimal filtering errs least in bf16: decision 0014.

    python benchmarks/filtering_points.py

F(m x m, 3x3) by the construction of Cook and Toom, from m + 1 finite points and infinity, for a
convolution of random values with a random mean, cut at 0, with random weights. The values are of
bf16; both transforms are rounded to bf16, all else is float64. Told is the root mean square of the
error, as a part of that of the result, and for comparison that of bf16 weights alone and that of a
result rounded to bf16. Some seconds, in NumPy alone.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from provenance import write_result

Matrix = NDArray[np.float64]

TILES, CHANNELS, KERNELS = 400, 64, 32
SETS = (
    "0 1 -1",
    *("0 1 -1 2", "0 1 -1 1/2", "0 1 -1 -1/2"),
    *("0 1 -1 2 -2", "0 1 -1 1/2 -1/2", "0 1 -1 1/2 -2", "0 2/3 -2/3 3/2 -3/2"),
    *("0 5/8 -5/8 3/2 -3/2", "0 3/4 -3/4 3/2 -3/2", "0 1/2 -1/2 3/2 -3/2"),
    *("0 5/8 -5/8 5/4 -5/4", "0 1/2 -1/2 5/4 -5/4"),
)


def transforms(points: list[Fraction]) -> tuple[Matrix, Matrix, Matrix]:
    """A' (m, m + 2), G (m + 2, 3) and B' (m + 2, m + 2) of the finite points."""
    results = len(points) - 1
    scales = [np.prod([a - b for b in points if b != a], initial=Fraction(1)) for a in points]
    back = [[a**i for a in points] + [Fraction(i == results - 1)] for i in range(results)]
    weights = [[a**k / f for k in range(3)] for a, f in zip(points, scales, strict=True)]
    values = [[*product_of([b for b in points if b != a]), Fraction(0)] for a in points]
    matrices = (
        back,
        [*weights, [Fraction(0), Fraction(0), Fraction(1)]],
        [*values, product_of(points)],
    )
    return tuple(np.array(matrix, dtype=np.float64) for matrix in matrices)  # type: ignore[return-value]


def product_of(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(root * c for c in found), Fraction(0)]
        found = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return found


def rounded(values: Matrix) -> Matrix:
    """To bf16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return nearest.view(np.float32).astype(np.float64)


def errors(points: list[Fraction]) -> tuple[float, float, float]:
    """Of minimal filtering, of rounded weights, of a rounded result."""
    back, of_weights, of_values = transforms(points)
    size = len(of_values)
    generator = np.random.default_rng(0)
    mean = 0.3 * generator.standard_normal((TILES, CHANNELS, 1, 1))
    values = generator.standard_normal((TILES, CHANNELS, size, size)) + mean
    values = rounded(values.clip(0))
    weights = 0.05 * generator.standard_normal((KERNELS, CHANNELS, 3, 3))

    def convolved(kernels: Matrix) -> Matrix:
        window = np.lib.stride_tricks.sliding_window_view(values, (3, 3), axis=(2, 3))
        found: Matrix = np.einsum("tcijab,kcab->tkij", window, kernels, optimize=True)
        return found

    u = np.einsum("ai,kcij,bj->kcab", of_weights, weights, of_weights, optimize=True)
    v = np.einsum("ai,tcij,bj->tcab", of_values, values, of_values, optimize=True)
    products = np.einsum("tcab,kcab->tkab", rounded(v), rounded(u), optimize=True)
    exact = convolved(weights)
    filtered = np.einsum("ia,tkab,jb->tkij", back, products, back, optimize=True)
    several = filtered, convolved(rounded(weights)), rounded(exact)
    a, b, c = (float(np.sqrt(((each - exact) ** 2).mean() / (exact**2).mean())) for each in several)
    return a, b, c


def main() -> None:
    """Run from the command line."""
    rows = [
        "| tiles | points | minimal filtering | bf16 weights | bf16 result |",
        "|---|---|---:|---:|---:|",
    ]
    for text in SETS:
        points = [*map(Fraction, text.split())]
        side = len(points) - 1
        filtered, weights, result = errors(points)
        rows.append(f"| {side}x{side} | {text} | {filtered:.2%} | {weights:.2%} | {result:.2%} |")
    body = "\n".join(rows)
    print(body)
    print(write_result("filtering-points", "Errors of minimal filtering in bf16, by points", body))


if __name__ == "__main__":
    main()
