"""What `show` and `train` warn of: the figures, the mend, and silence over the zoo."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import NetError
from striate.nets import auto_net, load_net, parse_net, zoo_nets

Size = tuple[int, int, int]


def warnings(text: str, *size: int, object: int | None = None) -> tuple[str, ...]:
    height, width, channels = size
    return parse_net(text).summary((height, width, channels), object=object).warnings


@pytest.mark.parametrize("name", [entry.name for entry in zoo_nets()])
def test_nets_of_the_zoo_are_not_warned_of(name: str) -> None:
    assert load_net(name).summary().warnings == ()


@pytest.mark.parametrize("side", [8, 12, 23, 28, 32, 48, 64, 96, 160, 224, 320])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_default_nets_are_warned_of_dropped_rows_alone(side: int, channels: int) -> None:
    net, _ = auto_net(size=(side, side), channels=channels, classes=10, images=100)
    assert all("is not whole" in warning for warning in net.summary().warnings)


def test_padding_as_large_as_the_window() -> None:
    (warning,) = warnings("conv3-8p3", 8, 8, 3)
    assert warning == (
        "conv3-8p3 on 8x8x3 (conv1): 44 of its 144 windows see nothing but padding, and give the "
        "same for every image; with a padding smaller than the window each sees some of it"
    )
    assert not warnings("conv3-8p2", 8, 8, 3)


def test_weights_that_only_see_padding_and_the_layers_that_share_the_fault() -> None:
    (warning,) = warnings("[conv3-8 relu maxpool2]*3 [conv3-8 relu]*4 fc-9 relu fc-2", 8, 8, 3)
    assert warning == (
        "conv3-8 on 1x1x8 (conv4 and 3 more): 8 of the 9 weights of its window only ever see "
        "padding; larger images, or a pooling or stride less before it, would use them; conv1-8 "
        "gives the same without them"
    )
    (warning,) = warnings("maxpool4 (conv3-8 | conv3-8) conv3-8/2", 8, 8, 3, object=1)
    assert warning.startswith("conv3-8/2 on 2x2x16 (conv3): 5 of the 9 weights")
    assert warning.endswith("conv2-8/2 gives the same without them")
    (warning,) = warnings("maxpool8 (conv3-8 | conv3-8)", 8, 8, 3)
    assert warning.startswith("conv3-8 on 1x1x3 (conv1, conv2): 8 of the 9")


def test_vgg16_on_32_pixels_still_uses_all_its_weights_and_on_16_does_not_fit() -> None:
    assert not load_net("vgg16").summary((32, 32, 3)).warnings
    with pytest.raises(NetError, match="larger than its input"):
        load_net("vgg16").summary((16, 16, 3))


@st.composite
def windows(draw) -> tuple[str, Size]:
    """A convolution with more padding, or a smaller map, than one would give it."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride = draw(pair), draw(pair)
    padding, dilation = (draw(st.tuples(st.integers(0, 5), st.integers(0, 2))) for _ in range(2))
    parts = [
        ("", kernel),
        ("-1/", stride),
        ("p", padding),
        ("d", (dilation[0] + 1, dilation[1] + 1)),
    ]
    ceil = draw(st.sampled_from(["", "c"]))
    text = "conv" + "".join(f"{sign}{a}x{b}" for sign, (a, b) in parts) + "b0" + ceil
    return text, (draw(st.integers(1, 6)), draw(st.integers(1, 6)), 1)


@given(windows())
@settings(deadline=None, max_examples=200)
def test_what_is_called_dead_has_no_gradient(net: tuple[str, Size]) -> None:
    """Weights without a gradient and outputs that stay 0 are counted, neither more nor fewer."""
    text, size = net
    try:
        found = parse_net(text).summary(size).warnings
    except NetError:
        return
    module = parse_net(text).build(size).double()
    (weight,) = module.parameters()
    weight.data.fill_(1)
    y = module.layers(torch.ones(1, 1, *size[:2], dtype=torch.float64))
    y.sum().backward()
    assert weight.grad is not None
    dead_windows, dead_weights = int((y == 0).sum()), int((weight.grad == 0).sum())
    texts = [warning for warning in found if "padding," in warning or "see padding" in warning]
    if dead_windows:
        assert f": {dead_windows} of its {y.numel()} windows see" in texts[0]
    elif dead_weights:
        assert f": {dead_weights} of the {weight.numel()} weights of" in texts[0]
    assert len(texts) == bool(dead_windows or dead_weights)


@given(windows())
@settings(deadline=None, max_examples=200)
def test_the_smaller_window_that_is_offered_gives_the_same(net: tuple[str, Size]) -> None:
    text, size = net
    try:
        found = [w for w in parse_net(text).summary(size).warnings if "gives the same" in w]
    except NetError:
        return
    for warning in found:
        smaller = warning.split("; ")[-1].split()[0]
        x = torch.rand(1, 1, *size[:2], dtype=torch.float64)
        large, small = (parse_net(t).build(size).double() for t in (text, smaller))
        for module in (large, small):
            for parameter in module.parameters():
                parameter.data.fill_(1)
        torch.testing.assert_close(large.layers(x), small.layers(x))


def test_a_bottleneck_and_how_to_mend_it() -> None:
    (warning,) = warnings("conv3-64 relu conv1-2 relu conv3-64 relu", 16, 16, 3)
    assert warning == (
        "conv1-2 on 16x16x64 (conv2): a bottleneck: all that follows is made from 512 values, "
        "with 16,384 before it and 16,384 after; give it 8 channels or more, or a skip around it, "
        "or put `code` after it if it is meant"
    )
    assert not warnings("conv3-64 relu conv1-8 relu conv3-64 relu", 16, 16, 3)
    assert not warnings("conv3-64 relu (conv1-2 relu conv3-64 + skip) relu", 16, 16, 3)
    assert not warnings("conv3-64 relu conv1-2 code relu conv3-64 relu", 16, 16, 3)


def test_fewer_values_than_an_eighth_of_the_classes() -> None:
    (warning,) = warnings("conv3-64/2 relu conv3-16 gap fc-1000", 8, 8, 3)
    assert "gap on 4x4x16 (gap1): a bottleneck" in warning
    assert "16 values" in warning
    assert "1,000 after; give it 125 values or more" in warning


def test_a_branch_point_can_be_the_bottleneck() -> None:
    (warning,) = warnings("conv3-64 (conv1-1 | conv3-1) conv3-64", 16, 16, 3)
    assert warning.startswith("concat on 16x16x64 (concat1): a bottleneck")
    assert "give it 8 channels" in warning


def test_an_autoencoder_says_that_its_code_is_meant() -> None:
    text = "fc-128 relu fc-32 {} relu fc-128 relu fc-784"
    assert not warnings(text.format("code"), 28, 28, 1)
    (warning,) = warnings(text.format(""), 28, 28, 1)
    assert warning.startswith("fc-32 on 128 (fc2): a bottleneck")


def test_a_view_smaller_than_the_object() -> None:
    (warning,) = warnings("conv3-8 relu maxpool2 gap fc-10", 32, 32, 3)
    assert warning == (
        "gap on 16x16x8 (gap1): what it brings together sees 4x4 pixels, too few for an object of "
        "16x16 (half of the image's smaller side; `object` says otherwise); 3 more 3x3 "
        "convolutions before it, or a stride or pooling further in front, would see one"
    )
    mended = "conv3-8 relu maxpool2 [conv3-8 relu]*{} gap fc-10"
    assert not warnings(mended.format(3), 32, 32, 3)
    assert len(warnings(mended.format(2), 32, 32, 3)) == 1


def test_the_object_can_be_said() -> None:
    text = "conv3-8 relu maxpool2 gap fc-10"
    assert not warnings(text, 32, 32, 3, object=4)
    (warning,) = warnings(text, 32, 32, 3, object=5)
    assert "an object of 5x5; 1 more 3x3 convolution before it" in warning
    with pytest.raises(NetError, match="an object of 0 pixels"):
        warnings(text, 32, 32, 3, object=0)


@pytest.mark.parametrize(
    "text",
    [
        "fc-10",  # linear on purpose: no window at all
        "conv3-8 relu maxpool2 fc-32 relu fc-10",  # a hidden layer that sees the whole
        "conv3-8 relu conv32-16p0 relu fc-10",  # the same, written as a convolution
        "conv3-8 relu conv3-3",  # ends in a map: nothing is brought together
        "[[conv3-64 relu]*2 maxpool2]*2 fc-10",
    ],
)
def test_views_that_are_wide_enough_or_not_meant_to_be(text: str) -> None:
    assert not warnings(text, 32, 32, 3)


@pytest.mark.parametrize(
    "head", ["fc-10", "maxpool32 fc-10", "gap fc-32 relu fc-10", "conv32-10p0"]
)
def test_heads_that_only_add_up_parts(head: str) -> None:
    (warning,) = warnings(f"conv5x3-8 relu {head}", 32, 32, 3)
    assert warning.startswith(head.split(maxsplit=1)[0] + " on 32x32x8")
    assert "sees 5x3 pixels" in warning


def test_windows_too_large_to_look_at_are_left_alone() -> None:
    assert not warnings("conv2000x1-1p1999x0", 10, 1, 1)


def test_no_smaller_window_is_offered_where_none_gives_the_same() -> None:
    (warning,) = warnings("conv2x1-1/2x1p1x0d2x1", 2, 1, 1)
    assert warning.startswith("conv2x1-1/2x1p1x0d2x1 on 2x1x1 (conv1): 1 of the 2 weights")
    assert warning.endswith("would use them")
