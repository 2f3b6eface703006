"""Modules that PyTorch lacks. All work under autocast and in channels_last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nets.graph import Convolution, Pair, Volume
from striate.nets.windows import overhang

NARROW = 16  # channels: the values of the widest vector register


class Full(nn.Linear):
    """Fully connected: flattens (N, C, H, W) to (N, C*H*W) first."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) float -> (N, K)."""
        return super().forward(x.flatten(1))


class Whiten(nn.Module):
    """Frozen F x F filters that decorrelate image patches, with a trained bias; no padding.

    The filters are the eigenvectors of the patches' covariance over the roots of their eigenvalues,
    and their negatives (so that a rectifier after them loses nothing): K = 2*C*F*F.

    Args:
        channels: C of the input.
        kernel: Height and width of the patch.

    Attributes:
        weight: (K, C, F, F) float buffer: saved, never trained. Until it is set, each filter picks
            one number of the patch.
        bias: (K,) float parameter.
    """

    weight: Tensor

    def __init__(self, channels: int, kernel: Pair) -> None:
        super().__init__()
        size = channels * kernel[0] * kernel[1]
        single = torch.eye(size).view(size, channels, *kernel)
        self.register_buffer("weight", torch.cat([single, -single]))
        self.bias = nn.Parameter(torch.zeros(2 * size))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2*C*F*F, H-F+1, W-F+1)."""
        return F.conv2d(x, self.weight, self.bias)

    def whiten_from(self, patches: Tensor, epsilon: float = 5e-4) -> None:
        """Sets the filters from patches of the training images, and the bias to 0.

        Args:
            patches: (M, C, F, F) float, cut from images normalised as for training.
            epsilon: Added to the eigenvalues, in the units of the patches' variance.
        """
        flat = patches.detach().to(device="cpu", dtype=torch.float64).flatten(1)  # (M, C*F*F)
        flat = flat - flat.mean(dim=0)
        eigenvalues, eigenvectors = torch.linalg.eigh(flat.T @ flat / max(1, flat.shape[0] - 1))
        self.set_patch_statistics(eigenvalues, eigenvectors, epsilon)

    @torch.no_grad()
    def set_patch_statistics(
        self, eigenvalues: Tensor, eigenvectors: Tensor, epsilon: float = 5e-4
    ) -> None:
        """Sets the filters from eigenvalues (D,) and eigenvectors (D, D) of a covariance.

        Each eigenvector is a column, as `torch.linalg.eigh` gives them, turned so that its largest
        entry is positive: their sign is otherwise a matter of the machine.
        """
        largest = eigenvectors.abs().argmax(dim=0, keepdim=True)
        vectors = (eigenvectors * eigenvectors.gather(0, largest).sign()).flip(1)
        scales = (eigenvalues.clamp_min(0) + epsilon).rsqrt().flip(0)
        filters = (vectors * scales).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))
        self.bias.zero_()

    def extra_repr(self) -> str:
        """The size of the filters, for the printed module."""
        filters, channels, height, width = self.weight.shape
        return f"{channels}, {filters}, kernel_size=({height}, {width}), frozen"


class UnscaledBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with a learned shift but no learned scale: its weight is a constant 1.

    Args:
        channels: C of the input.
        **options: As for `torch.nn.BatchNorm2d`.
    """

    def __init__(self, channels: int, **options: float) -> None:
        super().__init__(channels, **options)  # type: ignore[arg-type]
        _freeze_scale(self)


class UnscaledBatchNorm1d(nn.BatchNorm1d):
    """`UnscaledBatchNorm2d` for values in a row.

    Args:
        channels: K of the input.
        **options: As for `torch.nn.BatchNorm1d`.
    """

    def __init__(self, channels: int, **options: float) -> None:
        super().__init__(channels, **options)  # type: ignore[arg-type]
        _freeze_scale(self)


def _freeze_scale(module: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """A buffer outside the saved state in place of the parameter: nothing to train or store."""
    del module.weight
    module.register_buffer("weight", torch.ones(module.num_features), persistent=False)


class LocallyConnected(nn.Module):
    """A convolution whose weights are not shared between positions.

    Args:
        layer: Its window, groups and bias.
        before: The volume that it takes.
        after: The volume that it gives.

    Attributes:
        weight: (H*W, K, C/groups*Fh*Fw). bias: (K, H, W) or None.
    """

    def __init__(self, layer: Convolution, before: Volume, after: Volume) -> None:
        super().__init__()
        self.outputs = (after.channels, after.height, after.width)
        self.groups = layer.groups
        self.extra = overhang(layer, before)
        self.window = {
            "kernel_size": layer.kernel,
            "stride": layer.stride,
            "padding": layer.padding,
            "dilation": layer.dilation,
        }
        fan_in = before.channels // layer.groups * layer.kernel[0] * layer.kernel[1]
        bound = fan_in**-0.5  # PyTorch's bound for a convolution of this fan-in
        weight = torch.empty(after.height * after.width, layer.channels, fan_in)
        self.weight = nn.Parameter(nn.init.uniform_(weight, -bound, bound))
        self.bias = None
        if layer.bias:
            self.bias = nn.Parameter(nn.init.uniform_(torch.empty(self.outputs), -bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, Ho, Wo)."""
        x = F.pad(x, (0, self.extra[1], 0, self.extra[0]))
        columns = F.unfold(x, **self.window)  # (N, C*Fh*Fw, P), P = Ho*Wo
        positions, kernels, fan_in = self.weight.shape
        columns = columns.view(-1, self.groups, fan_in, positions).permute(3, 1, 2, 0)
        weight = self.weight.view(positions, self.groups, kernels // self.groups, fan_in)
        values = torch.matmul(weight, columns)  # (P, G, K/G, C/G*Fh*Fw) @ (P, G, C/G*Fh*Fw, N)
        values = values.permute(3, 1, 2, 0).reshape(-1, *self.outputs)
        return values if self.bias is None else values + self.bias

    def extra_repr(self) -> str:
        """The output volume and the window, for the printed module."""
        return f"{self.outputs}, {self.window}, groups={self.groups}"


class NarrowConvolution(nn.Conv2d):
    """A strided 1x1 convolution of few channels: in training, of the pixels that it sees alone.

    For its weight gradient oneDNN copies these pixels, and with fewer than `NARROW` channels in
    channels_last memory it writes behind the copy: wrong gradients, or a crash. It is oneDNN's
    issue 6035, seen with PyTorch 2.13. `NarrowTransposedConvolution` is the same turned round.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, Ho, Wo)."""
        if not torch.is_grad_enabled():
            return super().forward(x)
        seen = F.avg_pool2d(x, 1, self.stride)  # in the memory order that it came in
        return F.conv2d(seen, self.weight, self.bias)


class NarrowTransposedConvolution(nn.ConvTranspose2d):
    """A strided 1x1 transposed convolution to few channels: in training, zeros are added last."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, K, Ho, Wo)."""
        if not torch.is_grad_enabled():
            return super().forward(x, output_size)
        values = F.conv2d(x, self.weight.transpose(0, 1))
        height, width = ((n - 1) * s + 1 for n, s in zip(x.shape[2:], self.stride, strict=True))
        spread = BedOfNails(self.stride)(values)[:, :, :height, :width]  # type: ignore[arg-type]
        down, across = self.output_padding
        spread = F.pad(spread, (0, across, 0, down))
        return spread if self.bias is None else spread + self.bias[:, None, None]


class RoundedUpConvolution(nn.Conv2d):
    """A convolution whose output size is rounded up: zeros are added after the last row and column.

    Args:
        extra: Rows and columns to add.
        channels: C of the input.
        count: K of the output.
        **options: As for `torch.nn.Conv2d`.
    """

    def __init__(self, extra: Pair, channels: int, count: int, **options: object) -> None:
        super().__init__(channels, count, **options)  # type: ignore[arg-type]
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, Ho, Wo)."""
        return super().forward(F.pad(x, (0, self.extra[1], 0, self.extra[0])))


class RoundedUpNarrowConvolution(RoundedUpConvolution, NarrowConvolution):
    """Both: the zeros are added first."""


class L2Pool(nn.Module):
    """The root of the sum of squares in each window.

    Args:
        kernel: Height and width of the window.
        stride: Step of the window.
        padding: Zeros on each side.
        ceil: Round the output size up.
    """

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, ceil: bool) -> None:
        super().__init__()
        self.window = (kernel, stride, padding, ceil)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        total = F.avg_pool2d(x * x, *self.window, divisor_override=1)
        # The clamp gives the gradient 0, not NaN, where all of a window is 0.
        return total.clamp_min(torch.finfo(total.dtype).tiny).sqrt()

    def extra_repr(self) -> str:
        """The window, for the printed module."""
        return ", ".join(map(str, self.window))


class RememberingMaxPool(nn.MaxPool2d):
    """Max pooling that remembers where its maxima were, for the `MaxUnpool` that undoes it."""

    positions: Tensor
    input_size: torch.Size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        values, self.positions = F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            return_indices=True,
        )
        self.input_size = x.shape
        return values


class MaxUnpool(nn.Module):
    """Puts each value where the maximum of the paired pooling was, and 0 elsewhere.

    Where windows of the pooling overlap, the values that belong to one maximum are added up.

    Args:
        pool: The pooling, which has run on the same images before.
    """

    def __init__(self, pool: RememberingMaxPool) -> None:
        super().__init__()
        self.partner = (pool,)  # in a tuple, so that the pooling is not a child of two modules

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, Ho, Wo) -> (N, C, H, W), the shape that the pooling took."""
        pool = self.partner[0]
        height, width = pool.input_size[2:]
        flat = x.new_zeros(*x.shape[:2], height * width)
        flat = flat.scatter_add(2, pool.positions.flatten(2), x.flatten(2))
        return flat.view(*x.shape[:2], height, width)


class BedOfNails(nn.Module):
    """Each value at the top left of a block of zeros.

    Args:
        factor: Height and width of the block.
    """

    def __init__(self, factor: Pair) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H*f, W*f)."""
        images, channels, height, width = x.shape
        down, across = self.factor
        blocks = F.pad(x[..., None, :, None], (0, across - 1, 0, 0, 0, down - 1))
        return blocks.reshape(images, channels, height * down, width * across)


class Scale(nn.Module):
    """Multiplication by a constant.

    Args:
        factor: The constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * self.factor

    def extra_repr(self) -> str:
        """The constant, for the printed module."""
        return f"{self.factor:.6g}"


class Reshape(nn.Module):
    """The same values as another volume.

    Args:
        shape: C, H, W.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, C, H, W)."""
        return x.flatten(1).view(-1, *self.shape)

    def extra_repr(self) -> str:
        """The volume, for the printed module."""
        return str(self.shape)


class Parallel(nn.Module):
    """Branches over one input, joined by `join`. Each branch is a child, in order.

    Args:
        branches: The branches; an empty `Sequential` is the identity.
    """

    def __init__(self, branches: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def join(self, values: list[Tensor]) -> Tensor:
        """One tensor from the branches' outputs."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return self.join([branch(x) for branch in self.branches])


class Add(Parallel):
    """Branches added."""

    def join(self, values: list[Tensor]) -> Tensor:
        """The sum, from the first branch to the last."""
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


class Concatenate(Parallel):
    """Branches concatenated along the channels."""

    def join(self, values: list[Tensor]) -> Tensor:
        """(N, sum of C, H, W)."""
        return torch.cat(values, dim=1)
