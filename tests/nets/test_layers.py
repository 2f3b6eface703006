"""The modules that PyTorch lacks, against the decks' examples and PyTorch's own layers."""

import copy

import pytest
import torch
from torch import nn

from striate.nets import Volume, layers, parse_net
from striate.nets.graph import Convolution


def grid(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def test_whitening_makes_patches_uncorrelated_with_variance_one() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator)
    patches = (torch.randn(5000, 12, generator=generator) @ mixing).view(-1, 3, 2, 2)
    layer = layers.Whiten(3, (2, 2))
    layer.whiten_from(patches, epsilon=0.0)
    centred = patches - patches.mean(0)
    whitened = layer(centred).flatten(1)[:, :12]
    assert torch.allclose(torch.cov(whitened.T), torch.eye(12), atol=2e-3)
    assert torch.equal(layer.weight[:12], -layer.weight[12:])


def test_whitening_filters_come_by_falling_variance_with_a_definite_sign() -> None:
    patches = torch.zeros(400, 1, 1, 2)
    patches[::2, 0, 0, 0], patches[1::4, 0, 0, 1] = 3.0, 1.0
    layer = layers.Whiten(1, (1, 2))
    layer.whiten_from(patches)
    norms = layer.weight[:2].flatten(1).norm(dim=1)
    assert norms[0] < norms[1]
    largest = layer.weight[:2].flatten(1).abs().argmax(1)
    assert (layer.weight[:2].flatten(1).gather(1, largest[:, None]) > 0).all()


def test_whitening_is_frozen_and_saved() -> None:
    layer = layers.Whiten(3, (2, 2))
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert layer.weight.shape == (24, 3, 2, 2)
    assert "frozen" in repr(layer)


def test_constant_patches_do_not_divide_by_zero() -> None:
    layer = layers.Whiten(3, (2, 2))
    layer.whiten_from(torch.ones(10, 3, 2, 2))
    assert layer.weight.isfinite().all()


def test_max_unpooling_of_the_deck() -> None:
    pool = layers.RememberingMaxPool(2)
    image = grid([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])
    assert pool(image).tolist() == [[[[5, 6], [7, 8]]]]
    unpool = layers.MaxUnpool(pool)
    expected = [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]
    assert unpool(grid([[1, 2], [3, 4]])).tolist() == [[expected]]
    assert list(unpool.children()) == []


def test_nearest_and_bed_of_nails_of_the_deck() -> None:
    nails = [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert layers.BedOfNails((2, 2))(grid([[1, 2], [3, 4]])).tolist() == [[nails]]
    wide = layers.BedOfNails((1, 3))(grid([[1, 2]]))
    assert wide.tolist() == [[[[1, 0, 0, 2, 0, 0]]]]


def test_l2_pooling_and_its_gradient_at_zero() -> None:
    image = grid([[3, 4, 0, 0], [0, 0, 0, 0]]).requires_grad_()
    pooled = layers.L2Pool((2, 2), (2, 2), (0, 0), False)(image)
    assert pooled.detach().flatten().tolist() == pytest.approx([5, 0], abs=1e-15)
    pooled.sum().backward()
    assert image.grad is not None
    assert image.grad.flatten().tolist() == pytest.approx([0.6, 0.8, 0, 0, 0, 0, 0, 0])


def test_l2_pooling_is_pytorchs() -> None:
    image = torch.rand(2, 3, 9, 9) + 0.1
    ours = layers.L2Pool((3, 2), (2, 2), (0, 0), False)(image)
    assert torch.allclose(ours, nn.LPPool2d(2, (3, 2), 2)(image), rtol=1e-5)


@pytest.mark.parametrize(
    "options", ["/2p1", "g2", "g4/2x1p0", "/2p0c", "p1x0d1x2", "/3p0g2c"], ids=str
)
def test_a_locally_connected_layer_with_equal_weights_is_a_convolution(options: str) -> None:
    torch.manual_seed(0)
    convolution = parse_net(f"conv3x2-8{options}").build((8, 9, 4))
    local = parse_net(f"local3x2-8{options}").build((8, 9, 4))
    shared, own = convolution.layers.conv1, local.layers.local1
    positions = own.outputs[1] * own.outputs[2]
    with torch.no_grad():
        own.weight.copy_(shared.weight.flatten(1).expand(positions, -1, -1))
        own.bias.copy_(shared.bias[:, None, None].expand(own.outputs))
    image = torch.rand(2, 4, 8, 9)
    assert torch.allclose(local(image), convolution(image), atol=1e-6)


def test_a_rounded_up_convolution_sees_zeros_after_the_end() -> None:
    layer = layers.RoundedUpConvolution((1, 0), 1, 1, kernel_size=2, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    assert layer(torch.ones(1, 1, 3, 2)).flatten().tolist() == [4, 2]


@pytest.mark.parametrize("text", ["conv1-8/2", "conv1-8/3b0", "conv1-5/2c"])
@pytest.mark.parametrize("channels", [1, 3, 7, 15])
def test_a_strided_1x1_convolution_of_few_channels_has_its_gradients(text, channels) -> None:
    """In a process of PyTorch's own convolutions they came out wrong, or it was ended."""
    layer = parse_net(f"input 32x32x{channels} {text}").build()
    layer = layer.to(memory_format=torch.channels_last)
    images = torch.randn(8, channels, 32, 32).to(memory_format=torch.channels_last)
    with torch.no_grad():
        output = layer(images)
    gradient = torch.randn_like(output)
    stride = 3 if "/3" in text else 2
    seen = torch.nn.functional.pad(images, (0, 1, 0, 1))[..., ::stride, ::stride]
    seen = seen[..., : output.shape[2], : output.shape[3]].double()
    expected = torch.einsum("nihw,nohw->oi", seen, gradient.double())
    weights = layer.get_parameter("layers.conv1.weight")
    for _ in range(20):
        weights.grad = None
        again = layer(images)
        again.backward(gradient)
        assert weights.grad is not None
        assert torch.allclose(again, output, atol=1e-6)
        assert torch.allclose(weights.grad[..., 0, 0].double(), expected, atol=1e-3)


def test_the_gradient_of_its_input_stays_in_channels_last() -> None:
    layer = layers.NarrowConvolution(8, 4, 1, stride=2)
    images = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    orders = []
    seen = (images * 1).requires_grad_()
    seen.register_hook(
        lambda grad: orders.append(grad.is_contiguous(memory_format=torch.channels_last))
    )
    layer(seen).sum().backward()
    assert orders == [True]


@pytest.mark.parametrize("text", ["tconv1-3/2", "tconv1-3/2c", "tconv1-7/2cb0", "tconv1-4/3c"])
def test_a_strided_1x1_transposed_convolution_to_few_channels_has_its_gradients(text: str) -> None:
    """PyTorch's own ended the process; in fp64 it is another one, and right."""
    torch.manual_seed(0)
    layer = parse_net(f"input 16x16x8 {text}").build().to(memory_format=torch.channels_last)
    exact = copy.deepcopy(layer).double()
    plain = exact.get_submodule("layers.tconv1")
    assert isinstance(plain, layers.NarrowTransposedConvolution)
    images = torch.randn(4, 8, 16, 16).to(memory_format=torch.channels_last)
    with torch.no_grad():
        output = layer(images)
    gradient = torch.randn_like(output)
    nn.ConvTranspose2d.forward(plain, images.double()).backward(gradient.double())
    for _ in range(20):
        layer.zero_grad()
        again = layer(images)
        again.backward(gradient)
        assert torch.allclose(again, output, atol=1e-6)
        for mine, theirs in zip(layer.parameters(), exact.parameters(), strict=True):
            assert mine.grad is not None
            assert theirs.grad is not None
            assert torch.allclose(mine.grad.double(), theirs.grad, atol=1e-3)


def test_unscaled_batch_norm_has_a_shift_alone() -> None:
    for layer, shape in (
        (layers.UnscaledBatchNorm2d(4, eps=1e-12), (8, 4, 3, 3)),
        (layers.UnscaledBatchNorm1d(4, eps=1e-12), (8, 4)),
    ):
        assert [name for name, _ in layer.named_parameters()] == ["bias"]
        assert "weight" not in layer.state_dict()
        values = layer(torch.rand(shape))
        dims = [0, *range(2, len(shape))]
        assert torch.allclose(values.std(dims, unbiased=False), torch.ones(4), atol=1e-4)


def test_the_joins() -> None:
    one, two = nn.Sequential(), nn.Sequential(layers.Scale(3.0))
    x = torch.ones(1, 2, 1, 1)
    assert layers.Add([one, two])(x).flatten().tolist() == [4, 4]
    assert layers.Concatenate([one, two])(x).flatten().tolist() == [1, 1, 3, 3]
    with pytest.raises(NotImplementedError):
        layers.Parallel([one])(x)


def test_reshape_and_full_take_what_comes() -> None:
    x = torch.arange(8.0).view(1, 2, 2, 2).to(memory_format=torch.channels_last)
    assert layers.Reshape((4, 1, 2))(x).flatten().tolist() == list(range(8))
    assert layers.Full(8, 3)(x).shape == (1, 3)


@pytest.mark.parametrize(
    "layer",
    [
        layers.L2Pool((2, 2), (2, 2), (0, 0), False),
        layers.Scale(1 / 256),
        layers.Reshape((1, 2, 3)),
        layers.Whiten(1, (2, 2)),
        layers.LocallyConnected(
            Convolution((1, 1), 1, shared=False), Volume(1, 1, 1), Volume(1, 1, 1)
        ),
    ],
)
def test_layers_print_what_they_are(layer: nn.Module) -> None:
    assert any(letter.isdigit() for letter in repr(layer))
