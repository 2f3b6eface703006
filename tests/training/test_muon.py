import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.nets.graph import Convolution, Volume
from striate.nets.layers import LocallyConnected
from striate.training.muon import Filters, Muon, orthogonalise

LOCAL = Convolution((2, 2), 4, shared=False)
LAYERS = [
    nn.Conv2d(5, 8, 3),
    nn.Conv2d(6, 8, (3, 2), groups=2),
    nn.Conv2d(8, 8, 3, groups=8),
    nn.Conv2d(3, 1, 1),
    nn.Conv2d(1, 6, 5).to(memory_format=torch.channels_last),
    nn.Conv2d(20, 6, 3).to(memory_format=torch.channels_last),
    nn.ConvTranspose2d(5, 8, 2),
    nn.ConvTranspose2d(6, 4, 2, groups=2),
    nn.Linear(7, 4),
    LocallyConnected(LOCAL, Volume(3, 3, 3), Volume(2, 2, 4)),
    LocallyConnected(replace(LOCAL, groups=2), Volume(3, 3, 6), Volume(2, 2, 4)),
]


def polynomial(values: torch.Tensor) -> torch.Tensor:
    """What three steps of the iteration make of singular values."""
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


@pytest.mark.parametrize("shape", [(1, 4, 9), (1, 9, 4), (3, 5, 5), (7, 1, 9)])
def test_orthogonalise_maps_singular_values_and_keeps_the_vectors(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    norms = matrices.flatten(1).norm(dim=1)[:, None]
    expected = left @ torch.diag_embed(polynomial(values / norms)) @ right
    torch.testing.assert_close(orthogonalise(matrices), expected, atol=1e-4, rtol=1e-4)


def test_singular_values_that_are_not_tiny_end_near_one():
    values = polynomial(torch.linspace(0.05, 1, 1000))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_orthogonalise_ignores_scale_and_keeps_zero():
    matrices = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalise(matrices), orthogonalise(1000 * matrices))
    assert (orthogonalise(torch.zeros(2, 3, 4)) == 0).all()


def test_bf16_products_are_near():
    matrices = torch.randn(1, 16, 40, generator=torch.Generator().manual_seed(0))
    rough = orthogonalise(matrices, torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - orthogonalise(matrices)).abs().max() < 0.05


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer)[:40])
def test_filters_are_matrices_with_an_output_a_row(layer):
    bank = Filters.of(layer, layer.weight)
    weight = layer.weight.detach()
    matrices = bank.matrices(weight)
    assert torch.equal(bank.restore(matrices), weight)
    if isinstance(layer, nn.ConvTranspose2d):
        groups = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2)
    elif isinstance(layer, LocallyConnected):
        groups = weight.unflatten(1, (layer.groups, -1)).flatten(0, 1)
    else:
        groups = weight.unflatten(0, (getattr(layer, "groups", 1), -1))
    assert matrices.shape == groups.flatten(2).shape
    # The order within a row is free: a window's values may come before or after the channels.
    assert torch.equal(matrices.sort(dim=2).values, groups.flatten(2).sort(dim=2).values)


def test_channels_last_filters_are_read_without_a_copy():
    layer = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)
    matrices = Filters.of(layer, layer.weight).matrices(layer.weight)
    assert matrices.data_ptr() == layer.weight.data_ptr()
    assert matrices.is_contiguous()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernels", [True, False])
def test_two_steps_are_those_of_the_formula(memory_format, kernels):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
    options = {"lr": 0.2, "momentum": 0.6, "dtype": torch.float32, "kernels": kernels}
    muon = Muon([Filters.of(layer, layer.weight)], **options)
    weight = layer.weight.detach().flatten(1).double()
    buffer = torch.zeros_like(weight)
    for factor in (1.0, 0.5):
        gradient = torch.randn(4, 3, 3, 3, generator=generator)
        layer.weight.grad = gradient.clone(memory_format=memory_format)
        muon.step(factor)
        g = gradient.flatten(1).double()
        buffer = 0.6 * buffer + g
        update = orthogonalise((g + 0.6 * buffer)[None], torch.float64)[0]
        weight = weight * math.sqrt(4) / weight.norm()
        weight = weight - 0.2 * factor * update
        torch.testing.assert_close(
            layer.weight.detach().flatten(1).double(), weight, atol=1e-5, rtol=1e-5
        )
    assert layer.weight.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer)[:40])
def test_compiled_or_not_every_layer_moves_alike(layer):
    torch.manual_seed(0)
    start = layer.weight.detach().clone()
    gradients = [torch.randn_like(start) for _ in range(2)]
    results = []
    for kernels in (True, False):
        bank = replace(Filters.of(layer, layer.weight), weight=nn.Parameter(start.clone()))
        muon = Muon([bank], lr=0.2, momentum=0.6, dtype=torch.float32, kernels=kernels)
        for bank.weight.grad in gradients:
            muon.step(1.0)
        results.append((bank.weight.detach(), muon.memory[bank.weight]["momentum"]))
    for compiled, by_pytorch in zip(*results, strict=True):
        torch.testing.assert_close(compiled, by_pytorch, atol=2e-5, rtol=1e-5)


class Products(TorchDispatchMode):
    """Counts calls of matrix products."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += func in {torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default}
        return func(*args, **(kwargs or {}))


def test_layers_that_move_together_move_as_each_alone():
    torch.manual_seed(0)
    layers = [*LAYERS, nn.Conv2d(5, 8, 3), nn.Linear(7, 4), nn.Conv2d(6, 8, 3, groups=2)]
    paces = [1.0] * len(LAYERS) + [1.0, 0.25, 1.0]
    starts = [layer.weight.detach().clone() for layer in layers]
    gradients = [[torch.randn_like(start) for start in starts] for _ in range(2)]
    gradients[1][3] = None

    def moved(chosen):
        banks = [
            replace(Filters.of(layers[i], nn.Parameter(starts[i].clone())), pace=paces[i])
            for i in chosen
        ]
        muon = Muon(banks, lr=0.2, momentum=0.6, dtype=torch.float32, kernels=False)
        for each in gradients:
            for bank, place in zip(banks, chosen, strict=True):
                bank.weight.grad = each[place]
            muon.step(0.5)
        return [(bank.weight.detach(), muon.memory[bank.weight]["momentum"]) for bank in banks]

    places = range(len(layers))
    for together, place in zip(moved(places), places, strict=True):
        for found, alone in zip(together, moved([place])[0], strict=True):
            torch.testing.assert_close(found, alone)
            assert found.stride() == alone.stride()


@pytest.mark.parametrize("shapes", [1, 2])
def test_a_deep_net_takes_as_many_products_as_it_has_shapes(shapes):
    layers = [nn.Conv2d(4 + i % shapes, 8, 3) for i in range(12)]
    banks = [Filters.of(layer, layer.weight) for layer in layers]
    for bank in banks:
        bank.weight.grad = torch.ones_like(bank.weight)
    muon = Muon(banks, lr=0.2, momentum=0.6, dtype=torch.float32, kernels=False)
    with Products() as products:
        muon.step(1.0)
    assert products.calls == 9 * shapes  # three a turn of the iteration


def test_a_momentum_in_another_order_of_memory_is_that_of_the_same_weights():
    torch.manual_seed(0)
    start, gradients = torch.randn(8, 6, 3, 3), [torch.randn(8, 6, 3, 3) for _ in range(2)]
    moved = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        bank = Filters(nn.Parameter(start.clone()))
        muon = Muon([bank], lr=0.2, momentum=0.6, dtype=torch.float32)
        for bank.weight.grad in gradients:
            muon.step(1.0)
            # The momentum stays as it is.
            bank.weight.data = bank.weight.data.contiguous(memory_format=memory_format)
        moved.append(bank.weight.detach())
    torch.testing.assert_close(*moved, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernels", [True, False])
def test_filters_have_a_pace_of_their_own(kernels):
    layer = nn.Linear(3, 4)
    start = layer.weight.detach().clone() * 2 / layer.weight.detach().norm()
    moved = []
    for pace in (1.0, 0.25):
        bank = Filters.of(layer, nn.Parameter(start.clone()), pace)
        bank.weight.grad = torch.arange(12.0).view(4, 3)
        options = {"dtype": torch.float32, "kernels": kernels}
        Muon([bank], lr=0.2, momentum=0.6, **options).step(1.0)
        moved.append(bank.weight.detach() - start)
    torch.testing.assert_close(moved[1], 0.25 * moved[0])


def test_a_zero_gradient_only_sets_the_norm_and_none_does_nothing():
    layer = nn.Conv2d(3, 4, 3)
    muon = Muon([Filters.of(layer, layer.weight)], lr=0.2, momentum=0.6, dtype=torch.float32)
    start = layer.weight.detach().clone()
    muon.step(1.0)
    assert torch.equal(layer.weight, start)
    layer.weight.grad = torch.zeros_like(start)
    muon.step(1.0)
    torch.testing.assert_close(layer.weight.detach(), start * 2 / start.norm())


def test_weights_that_are_all_zero_stay_finite():
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    muon = Muon([Filters.of(layer, layer.weight)], lr=0.2, momentum=0.6, dtype=torch.float32)
    layer.weight.grad = torch.ones(2, 3)
    muon.step(1.0)
    assert torch.isfinite(layer.weight).all()
