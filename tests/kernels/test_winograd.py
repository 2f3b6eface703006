"""Convolutions of 3x3 by minimal filtering, against PyTorch's own in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.kernels import can_convolve, convolve, load_library, multiplies_bf16, winograd
from striate.kernels import processor as running_processor

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")

# Of the root mean square. bf16 rounds to one part in 512 at most; the transforms, which round once
# more, subtract large values from each other.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1.4e-2}
SHAPES = (  # N, C, K, H, W
    (3, 16, 16, 8, 8),
    (2, 24, 64, 7, 5),
    (5, 3, 7, 9, 6),
    (1, 65, 130, 3, 3),
    (4, 40, 33, 1, 2),
    (80, 33, 20, 6, 4),  # more tiles than are summed together
    (131, 33, 20, 4, 3),  # an odd count of them
)


def takes(dtype):
    return dtype == torch.float32 or multiplies_bf16()


def tensors(shape, dtype=torch.float32, *, bias=True):
    images, channels, kernels, height, width = shape
    x = torch.randn(images, channels, height, width).to(dtype)
    weight = torch.randn(kernels, channels, 3, 3) / (9 * channels) ** 0.5
    found = [x, weight, *([torch.randn(kernels)] if bias else [])]
    return [each.requires_grad_() for each in found]


def run(x, weight, bias=None, *, padding=1, pool=1):
    """y and the gradients."""
    y = convolve(x, weight, bias, padding, pool=pool)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    given_tensors = [each for each in (x, weight, bias) if each is not None]
    return [y.detach(), *torch.autograd.grad(y, given_tensors, dy)]


def right(x, weight, bias=None, *, padding=1, pool=1, places=None):
    """In float64; the pooling takes what lies at these places, so that ties are broken alike."""
    doubles = [
        None if each is None else each.detach().double().requires_grad_()
        for each in (x, weight, bias)
    ]
    y = F.conv2d(*doubles, padding=padding)
    if pool == 2:
        y = windows(y).gather(-1, places[..., None].long())[..., 0]
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    asked = [each for each in doubles if each is not None]
    return [y.detach(), *torch.autograd.grad(y, asked, dy.double())]


def windows(y):
    """The values of each window of 2x2, (N, K, H / 2, W / 2, 4)."""
    height, width = (side // 2 * 2 for side in y.shape[2:])
    return F.unfold(y[:, :, :height, :width].flatten(0, 1)[:, None], 2, stride=2).view(
        *y.shape[:2], 4, height // 2, width // 2
    ).movedim(2, -1)  # fmt: skip


def chosen_places(x, weight, bias=None, *, padding=1):
    """Of the largest of each window, as the operator finds them."""
    y, places = torch.ops.striate.winograd(x.detach(), weight.detach(), bias, padding, 2, True)
    return places.view(*(y.shape[k] for k in (0, 2, 3, 1))).movedim(3, 1)


def scale(x, weight, y, pool):
    """What the results and the gradients come to; a sum of few values may be less by chance."""
    spread = [float(each.detach().double().square().mean().sqrt()) for each in (x, weight)]
    pixels = (y.numel() / y.shape[1]) ** 0.5
    wide, high = (3 * count**0.5 for count in (x.shape[1], y.shape[1]))
    return spread[0] * spread[1] * wide, spread[1] * high / pool, spread[0] * pixels, pixels


def check(given_tensors, padding, *, pool=1, times=1):
    options = {"padding": padding, "pool": pool}
    found = run(*given_tensors, **options)
    if pool == 2:
        options["places"] = chosen_places(*given_tensors, padding=padding)
    expected = right(*given_tensors, **options)
    sizes = scale(*given_tensors[:2], expected[0], pool)
    if pool == 2:
        largest = windows(right(*given_tensors, padding=padding)[0]).max(-1).values
        below = (largest - expected[0]).max() / sizes[0]
        assert below <= 10 * times * TOLERANCE[given_tensors[0].dtype]
    for mine, theirs, size in zip(found, expected, sizes, strict=False):  # perhaps no bias
        assert mine.shape == theirs.shape
        error = (mine.double() - theirs).square().mean().sqrt()
        assert error <= times * TOLERANCE[given_tensors[0].dtype] * size


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_every_processor_agrees_with_pytorch(processor, dtype, pool, padding):
    if not takes(dtype):
        pytest.skip(f"{processor} does not multiply {dtype}")
    torch.manual_seed(0)
    for shape in SHAPES:
        if min(shape[3:]) + 2 * padding - 2 >= pool:
            check(tensors(shape, dtype), padding, pool=pool)


@settings(deadline=None, max_examples=80)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (6, 70, 70, 12, 12))),
    padding=st.integers(0, 2),
    pool=st.integers(1, 2),
    dtype=st.sampled_from(list(TOLERANCE)),
    bias=st.booleans(),
)
def test_any_size(shape, padding, pool, dtype, bias):
    assume(takes(dtype) and min(shape[3:]) + 2 * padding - 2 >= pool)
    torch.manual_seed(0)
    check(tensors(shape, dtype, bias=bias), padding, pool=pool, times=4)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_same_bits_with_any_number_of_threads(dtype, pool, check_threads):
    if not takes(dtype):
        pytest.skip("this processor does not multiply bf16")
    torch.manual_seed(0)
    given_tensors = tensors((30, 48, 80, 9, 11), dtype)
    check_threads(lambda: run(*given_tensors, pool=pool))


def test_long_sums_are_as_good_as_pytorchs():
    torch.manual_seed(0)
    x, weight = tensors((64, 24, 24, 80, 80), bias=False)  # 25,600 tiles
    check([x, weight], padding=1)


@pytest.mark.parametrize(
    ("x", "weight", "padding", "message"),
    [
        (torch.zeros(1, 24, 8, 8), torch.zeros(8, 23, 3, 3), 1, "weights of"),
        (torch.zeros(1, 24, 8, 8), torch.zeros(8, 24, 5, 5), 1, "weights of"),
        (torch.zeros(1, 24, 8, 8), torch.zeros(8, 24, 3, 3).bfloat16(), 1, "weights of"),
        (torch.zeros(1, 24, 8, 8), torch.zeros(8, 24, 3, 3), 3, "padding 3"),
        (torch.zeros(1, 24, 2, 8), torch.zeros(8, 24, 3, 3), 0, "no window"),
        (torch.zeros(1, 24, 8, 8).double(), torch.zeros(8, 24, 3, 3), 1, "float64"),
        (torch.zeros(0, 24, 8, 8), torch.zeros(8, 24, 3, 3), 1, "no values"),
    ],
)
def test_what_does_not_fit_is_an_error(x, weight, padding, message):
    with pytest.raises(ValueError, match=message):
        convolve(x, weight, None, padding)


@pytest.mark.parametrize("pool", [2, 3])
def test_a_pooling_that_does_not_fit_is_an_error(pool):
    with pytest.raises(ValueError, match=f"no pooling by {pool}"):
        convolve(torch.zeros(1, 24, 1, 8), torch.zeros(8, 24, 3, 3), None, 1, pool=pool)


def test_the_largest_of_what_is_not_a_number_is_none():
    x, weight = torch.randn(1, 24, 8, 8), torch.randn(24, 24, 3, 3)
    x[0, 0, 0, 0] = float("nan")
    with torch.no_grad():
        y = convolve(x, weight, None, 1, pool=2)
    assert y[0, :, :2, :2].isnan().all()  # of a whole tile
    assert y[0, :, 2:].isfinite().all()


def test_places_are_kept_for_the_way_back_alone():
    x, weight, _ = (each.detach() for each in tensors((2, 24, 24, 6, 6)))
    (y, places), (same, none) = (
        torch.ops.striate.winograd(x, weight, None, 1, 2, keep) for keep in (True, False)
    )
    assert torch.equal(y, same)
    assert (places.numel(), none.numel()) == (y.numel(), 0)
    assert y.equal(convolve(x, weight.requires_grad_(), None, 1, pool=2))


def test_an_image_has_the_same_result_in_any_batch():
    torch.manual_seed(0)
    x, weight, bias = tensors((9, 32, 48, 7, 6))
    with torch.no_grad():
        y = convolve(x, weight, bias, 1)
        assert torch.equal(convolve(x[4:5], weight, bias, 1), y[4:5])


def test_any_order_of_memory():
    torch.manual_seed(0)
    x, weight, bias = tensors((3, 24, 32, 8, 8))
    expected = run(x, weight, bias)
    x_last, weight_last = (
        each.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        for each in (x, weight)
    )
    for others in (run(x_last, weight_last, bias), run(x, weight_last, bias)):
        assert all(map(torch.equal, expected, others))


def test_only_the_gradients_that_are_asked_for():
    x, weight, bias = (each.detach() for each in tensors((2, 24, 24, 6, 6)))
    weight.requires_grad_()
    convolve(x, weight, bias, 1).sum().backward()
    assert weight.grad is not None
    assert x.grad is None
    assert not convolve(x, weight.detach(), bias, 1).requires_grad


def test_a_gradient_of_a_gradient_is_refused():
    x, weight, bias = tensors((2, 24, 24, 6, 6))
    (slope,) = torch.autograd.grad(
        convolve(x, weight, bias, 1).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_shapes_can_be_traced():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x, weight = torch.empty(2, 24, 9, 8), torch.empty(32, 24, 3, 3)
        forward, back = torch.ops.striate.winograd, torch.ops.striate.winograd_back
        for pool, shape in ((1, (2, 32, 7, 6)), (2, (2, 32, 3, 3))):
            y, places = forward(x, weight, None, 0, pool, True)
            assert (y.shape, places.numel()) == (shape, y.numel() * (pool - 1))
            assert back(y, places, weight, 0, x.shape).shape == x.shape
            assert torch.ops.striate.winograd_weights(x, y, places, 0).shape == weight.shape


def test_what_is_not_faster_here_is_left_to_pytorch(monkeypatch):
    x = torch.zeros(2, 24, 8, 8)
    assert can_convolve(x) == (running_processor() != "scalar")
    assert not can_convolve(x.double())
    assert not can_convolve(x.bfloat16())  # without autocast weights are bf16 too
    assert not can_convolve(x[:0])
    assert not can_convolve(x[0])
    with torch.autocast("cpu", torch.bfloat16):
        monkeypatch.setattr(winograd, "multiplies_bf16", lambda: True)
        assert can_convolve(x)
        assert can_convolve(x.bfloat16())
        assert not can_convolve(x.double())
        with torch.autocast("cpu", torch.float16):
            assert not can_convolve(x)
        monkeypatch.setattr(winograd, "multiplies_bf16", lambda: False)
        assert not can_convolve(x)


def test_autocast_rounds_what_comes_in():
    if not takes(torch.bfloat16):
        pytest.skip("this processor does not multiply bf16")
    torch.manual_seed(0)
    x, weight, bias = tensors((2, 24, 24, 6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x, weight, bias, 1)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, convolve(x.bfloat16(), weight, bias, 1))
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == bias.grad.dtype == torch.float32
