"""How the weights start: PyTorch's way, He's, or Dirac; and the whitening, from the data."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import to_tensor
from striate.data.preprocessing import Preprocessing
from striate.nets.layers import LocallyConnected, Whiten
from striate.training.head import find_head
from striate.training.sections import Initialize

LARGEST_CHUNK = 2**22  # values of patches that are looked at together, 16 MiB in fp32
MOST_PATCHES = 2**23  # 5000 images of 32x32 have 2^22.2; large images are thinned out


def whitening_sample(
    module: nn.Module, choice: Initialize, places: NDArray[np.int64], *, pixels: int
) -> NDArray[np.int64]:
    """Choose the images that the whitening layers see, before any is read.

    Args:
        module: The net.
        choice: The recipe's section.
        places: int64 (N,), the training images in an order of chance.
        pixels: Of an image.

    Returns:
        The first `choice.whiten_images` of the places, or so many of these that they have about
        `MOST_PATCHES` patches; none for a net without such layers.
    """
    if not any(isinstance(layer, Whiten) for layer in module.modules()):
        return places[:0]
    sample = places[: choice.whiten_images]
    return sample[:: max(1, len(sample) * pixels // MOST_PATCHES)]


@torch.no_grad()
def initialize(
    module: nn.Module, choice: Initialize, images: Tensor, *, preprocessing: Preprocessing
) -> None:
    """Set the weights of a freshly built net; random draws come from PyTorch's generator.

    `torch` leaves the layers as PyTorch makes them. `he` draws all weights from a normal
    distribution of variance 2 / fan-in (He et al., 2015), biases 0. `dirac` lets the first
    min(C, K) filters of each convolution with an odd kernel pass one input channel on unchanged,
    and makes the head small: a deviation of 1 / fan-in in the logits, as in the public records. A
    head that a constant scales starts so in any case: 1 where the constant is 1 / fan-in.

    Whitening layers get their filters from their inputs for `images`.

    Args:
        module: The net, as `Net.build` made it.
        choice: The recipe's section.
        images: uint8 (M, H, W, C), training images for the whitening, of which a net without it
            needs none; see `whitening_sample`.
        preprocessing: Their mean and deviation.
    """
    head = find_head(module)
    if choice.name == "he":
        _draw_as_he(module)
    if choice.name == "dirac":
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and (head is None or layer is not head.layer):
                _pass_inputs_on(layer)
    if head is not None and (head.scale != 1 or choice.name == "dirac"):
        deviation = 1 / (head.scale * head.fan_in)
        head.weight.mul_(deviation / head.weight.std().clamp_min(1e-12))
    _whiten(module, images, preprocessing)


def _draw_as_he(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # A transposed convolution has its inputs first, where PyTorch looks for the outputs.
            transposed = isinstance(layer, nn.ConvTranspose2d)
            nn.init.kaiming_normal_(layer.weight, mode="fan_out" if transposed else "fan_in")
        elif isinstance(layer, LocallyConnected):
            layer.weight.normal_(std=(2 / layer.weight.shape[-1]) ** 0.5)
        else:
            continue
        if layer.bias is not None:
            layer.bias.zero_()


def _pass_inputs_on(layer: nn.Conv2d) -> None:
    if layer.groups == 1 and all(side % 2 for side in layer.kernel_size):
        nn.init.dirac_(layer.weight[: layer.in_channels])


def _whiten(module: nn.Module, images: Tensor, preprocessing: Preprocessing) -> None:
    """Set the filters of each whitening layer from the covariance of the patches it sees."""
    for layer in module.modules():
        if isinstance(layer, Whiten):
            covariance = _patch_covariance(module, layer, images, preprocessing)
            layer.set_patch_statistics(*torch.linalg.eigh(covariance))


def _patch_covariance(
    module: nn.Module, layer: Whiten, images: Tensor, preprocessing: Preprocessing
) -> Tensor:
    """The covariance of a layer's input patches: float64 (D, D) with D = C F F.

    Summed chunk by chunk, so that the patches of all images never lie in memory together.
    """
    size = layer.weight[0].numel()
    per_image = images.shape[1] * images.shape[2]
    count = 0
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    for chunk in torch.split(images, max(1, LARGEST_CHUNK // (per_image * size))):
        inputs = _input_of(layer, module, to_tensor(chunk, preprocessing.mean, preprocessing.std))
        patches = nn.functional.unfold(inputs, layer.weight.shape[2:])  # (M, D, H' W')
        rows = patches.transpose(1, 2).reshape(-1, size).double()
        count += len(rows)
        total += rows.sum(dim=0)
        products += rows.T @ rows
    mean = total / count
    return products / count - mean.outer(mean)


class _Reached(Exception):
    """Carries the input of a layer out of the forward pass that reached it."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs


def _input_of(layer: nn.Module, module: nn.Module, images: Tensor) -> Tensor:
    """Run a net up to one of its layers."""

    def stop(_: nn.Module, inputs: tuple[Tensor]) -> NoReturn:
        raise _Reached(inputs[0])

    hook = layer.register_forward_pre_hook(stop)
    training = module.training
    try:
        module.eval()(images)
    except _Reached as reached:
        return reached.inputs
    finally:
        hook.remove()
        module.train(training)
    raise AssertionError("the layer is not part of the forward pass")
