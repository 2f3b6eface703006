"""Muon: momentum whose matrix is made orthogonal before each step.

After Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024), with the
weights brought back to a fixed norm at every step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.kernels import can_step_muon, step_muon
from striate.nets.layers import LocallyConnected

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0, so that few steps suffice
ITERATIONS = 3
SMALLEST = 1e-7


@dataclass(frozen=True, eq=False)
class Filters:
    """A layer's weight, and how it reads as G matrices with one output a row.

    Args:
        weight: The parameter.
        groups: G: the groups of a convolution, the positions of a locally connected layer, else 1.
        transposed: Whether the first axis is that of the inputs.
        pace: Their rate as a share of that of others.
    """

    weight: nn.Parameter
    groups: int = 1
    transposed: bool = False
    pace: float = 1.0

    @classmethod
    def of(cls, layer: nn.Module, weight: nn.Parameter, pace: float = 1.0) -> Filters:
        """Read the weight of a layer."""
        if isinstance(layer, nn.ConvTranspose2d):
            return cls(weight, layer.groups, transposed=True, pace=pace)
        if isinstance(layer, nn.Conv2d):
            return cls(weight, layer.groups, pace=pace)
        matrices = len(weight) * layer.groups if isinstance(layer, LocallyConnected) else 1
        return cls(weight, matrices, pace=pace)

    def is_one_matrix(self, held: Tensor) -> bool:
        """Whether the weight and its momentum are matrices whose rows lie one after the other."""
        weight = self.weight
        dense = weight.is_contiguous() or (
            weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        )
        alike = held.stride() == weight.stride()
        return self.groups == 1 and not self.transposed and weight.dim() != 3 and dense and alike

    def matrices(self, tensor: Tensor) -> Tensor:
        """View or copy a tensor like the weight as (G, outputs, inputs)."""
        split = tensor.reshape(self._split_shape())
        return split.permute(self._order(split.ndim)).flatten(2)

    def restore(self, matrices: Tensor) -> Tensor:
        """Undo `matrices`: a tensor of the weight's shape."""
        shape = self._split_shape()
        order = self._order(len(shape))
        permuted = matrices.reshape([shape[axis] for axis in order])
        back = sorted(range(len(order)), key=order.__getitem__)
        return permuted.permute(back).reshape(self.weight.shape)

    def _split_shape(self) -> list[int]:
        shape = self.weight.shape
        if len(shape) == 3:  # locally connected: the groups of each position
            return [self.groups, shape[0] * shape[1] // self.groups, shape[2]]
        return [self.groups, shape[0] // self.groups, *shape[1:]]

    def _order(self, axes: int) -> list[int]:
        """Outputs, then window, then inputs: in channels_last memory this is no copy."""
        outputs, inputs = (2, 1) if self.transposed else (1, 2)
        return [0, outputs, *range(3, axes), inputs]


class Muon:
    """Moves each filter bank by its orthogonalised Nesterov momentum.

    With gradient g: m <- b m + g; u = g + b m; w <- w sqrt(K) / |w|; w <- w - lr NS(u), for each of
    the matrices (K, C F F) in `Filters`. The step is relative to the weights and does not depend on
    the gradient's size: neither does it on the batch size.

    Args:
        filters: What to move.
        lr: The step's size relative to the weights, at factor 1.
        momentum: b.
        dtype: Of the Newton-Schulz products; bf16 where it is fast.
        kernels: Whether a compiled operator may do it, where it can; the numbers are the same, but
            for rounding.
    """

    def __init__(
        self,
        filters: Sequence[Filters],
        *,
        lr: float,
        momentum: float,
        dtype: torch.dtype,
        kernels: bool = True,
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self._filters = filters
        self._dtype = dtype
        self.kernels = kernels
        self._held = [torch.zeros_like(bank.weight) for bank in filters]
        self._kinds = [(bank.matrices(bank.weight).shape[1:], bank.pace) for bank in filters]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Move the weights that have a gradient, by `lr` times `factor`."""
        others = defaultdict(list)
        for kind, bank, held in zip(self._kinds, self._filters, self._held, strict=True):
            gradient = bank.weight.grad
            if gradient is None:
                continue
            if (
                self.kernels
                and bank.is_one_matrix(held)
                and can_step_muon(bank.weight, self._dtype)
            ):
                step_muon(
                    bank.weight,
                    held,
                    gradient,
                    coefficients=COEFFICIENTS,
                    steps=ITERATIONS,
                    momentum=self.momentum,
                    rate=self.lr * factor * bank.pace,
                    dtype=self._dtype,
                )
            else:
                others[kind].append((bank, held, gradient))
        for (_, pace), alike in others.items():
            banks, memories, gradients = map(list, zip(*alike, strict=True))
            self._step_together(banks, memories, gradients, self.lr * factor * pace)

    def _step_together(
        self, banks: list[Filters], held: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        """By PyTorch's operators, each called once for all matrices of one shape and pace.

        On a GPU a call costs more than the products of a layer: nets of a hundred layers would
        wait longer for these than for their forward and backward pass.
        """
        torch._foreach_mul_(held, self.momentum)
        torch._foreach_add_(held, gradients)
        updates = torch._foreach_add(gradients, held, alpha=self.momentum)
        stacked = torch.cat([bank.matrices(u) for bank, u in zip(banks, updates, strict=True)])
        del updates
        step = orthogonalise(stacked, self._dtype).to(stacked.dtype)
        del stacked
        before = [bank.matrices(bank.weight) for bank in banks]
        moved = torch.cat(before)
        moved.mul_(moved.shape[1] ** 0.5 / _norm(moved).clamp_min(SMALLEST))
        moved.sub_(step, alpha=rate)
        parts = torch.split(moved, [len(matrices) for matrices in before])
        torch._foreach_copy_(
            [bank.weight for bank in banks],
            [bank.restore(part) for bank, part in zip(banks, parts, strict=True)],
        )

    @property
    def memory(self) -> dict[nn.Parameter, dict[str, Tensor]]:
        """What is remembered of each parameter."""
        pairs = zip(self._filters, self._held, strict=True)
        return {bank.weight: {"momentum": held} for bank, held in pairs}


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of (G, M, N) matrices near 1, keeping the singular vectors.

    Three steps of a Newton-Schulz iteration with an odd polynomial of degree five, from Jordan et
    al.; singular values above a twentieth of the norm end within 0.5 to 1.3. Zero stays zero.

    Args:
        matrices: (G, M, N).
        dtype: Of the matrix products.

    Returns:
        (G, M, N) of `dtype`.
    """
    a, b, c = COEFFICIENTS
    x = (matrices / (_norm(matrices) + SMALLEST)).to(dtype)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        quartic = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, quartic, x, beta=a)
    result: Tensor = x.mT if tall else x
    return result


def _norm(matrices: Tensor) -> Tensor:
    """The Frobenius norm of each matrix: (G, 1, 1)."""
    norms: Tensor = torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)
    return norms
