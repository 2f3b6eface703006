"""Receptive fields: the decks' figures, and what the gradients of the built module reach."""

import time

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.errors import NetError
from striate.nets import parse_net
from striate.nets.fields import MOST_STEPS, Sight, fields


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("conv3-2 conv3-2", (5, 5)),
        ("conv3-2 maxpool2 conv3-2", (8, 8)),
        ("conv5x3-2 avgpool3x2/2", (7, 4)),
        ("conv3-2d2 conv3-2", (7, 7)),
        ("(conv3-2 | conv7-2 | skip) conv3-2", (9, 9)),
        ("conv3-2/2 nearest2 conv3-2", (5, 5)),
        ("tconv3-2/2 conv3-2", (3, 3)),
        ("maxpool2 conv3-2 unpool2", (6, 6)),
        ("whiten2 conv3-8", (4, 4)),
        ("conv3-2 gap", (26, 26)),
        ("conv3-2 fc-4 relu", (26, 26)),
        ("conv3-2 reshape1x1x1152 relu", (26, 26)),
    ],
)
def test_receptive_fields(text: str, field: tuple[int, int]) -> None:
    channels = 2 if "unpool" in text else 1
    assert parse_net(text).summary((24, 24, channels)).layers[-1].receptive_field == field


def test_the_field_of_vgg16_and_its_stride() -> None:
    rows = parse_net("[[conv3-4 relu]*2 maxpool2]*2 [[conv3-4 relu]*3 maxpool2]*3").summary(
        (224, 224, 3)
    )
    last = rows.layers[-1]
    assert last.receptive_field == (212, 212)
    assert last.stride == (32, 32)


ROWS = 96  # of the test's images, one column wide
MARGIN = 20  # rows at either end where padding and cropping tell


@st.composite
def words(draw, channels: int = 1) -> str:
    """A layer that moves along the rows alone, with as many channels out as in."""
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding, dilation = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    window = f"{kernel}x1-{channels}/{stride}x1p{padding}x0d{dilation}x1"
    kind = draw(st.sampled_from(["conv", "tconv", "avgpool", "nearest", "nails", "whiten"]))
    if kind in ("conv", "tconv"):
        return f"{kind}{window}"
    if kind == "avgpool":
        return f"avgpool{kernel}x1/{stride}x1p{min(padding, kernel // 2)}x0"
    if kind == "whiten":
        return f"whiten{kernel}x1 conv1-{channels}"
    return f"{kind}{stride}x1"


@st.composite
def chains(draw) -> str:
    """Layers one after another, some in branches that keep the number of rows."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 3)):
            parts.append(draw(words()))
        else:
            kernels = draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=2))
            extra = draw(st.sampled_from(["skip", "nails2x1 avgpool2x1", "avgpool2x1 nails2x1"]))
            join = draw(st.sampled_from(["+", "|"]))
            parts.append("(" + f" {join} ".join([*(f"conv{k}x1-1" for k in kernels), extra]) + ")")
            parts.append("conv1-1")
    return " ".join(parts)


@given(chains(), st.data())
@settings(deadline=None, max_examples=120)
def test_every_position_sees_what_its_gradient_reaches(text: str, data: st.DataObject) -> None:
    """With weights of one nothing cancels: the first and last row of the gradient are the field."""
    try:
        traced = parse_net(text).trace((ROWS, 1, 1))
    except NetError:  # branches of an odd number of rows
        assume(False)
    assume(traced.output.height <= 4 * ROWS)
    (*_, field) = fields(traced).values()
    module = parse_net(text).build((ROWS, 1, 1)).double().eval()
    for value in module.state_dict().values():
        value.fill_(1)
    x = torch.ones(1, 1, ROWS, 1, dtype=torch.float64, requires_grad=True)
    y = module.layers(x).sum(1).flatten()
    inside = [
        i
        for i in range(len(y))
        if (span := field.rows.at(i)) and span[0] >= MARGIN and span[1] < ROWS - MARGIN
    ]
    assume(inside)
    around = range(inside[0], inside[-1] + 1)  # with those between nails, which see nothing
    for position in data.draw(st.lists(st.sampled_from(around), min_size=1, max_size=4)):
        span = field.rows.at(position)
        reached: list[int] = []
        if y.requires_grad:
            (gradient,) = torch.autograd.grad(y[position], x, retain_graph=True)
            reached = gradient.flatten().nonzero().flatten().tolist()
        assert (tuple(reached[:: max(1, len(reached) - 1)]) or None) == (
            span if span is None or span[0] < span[1] else span[:1]
        )


@pytest.mark.parametrize(
    "text",
    [
        "conv3-2 conv5-2/2 conv3-2",
        "conv5x3-4 avgpool2 conv3-2",
        "conv3-2d2 conv3-3/2 tanh conv3-2",
        "(conv3-2 | conv5-2 conv3x5-2) conv3-2",
        "(conv3-1 + skip) conv3-2/2x1",
        "conv3-2/2 nearest3 conv2-2",
        "local3-2 conv3x2-2",
    ],
)
def test_fields_of_pictures_are_what_gradients_reach(text: str) -> None:
    """Height and width, with random weights; upsampled neighbours may see one pixel less."""
    net = parse_net(text)
    row = net.summary((41, 41, 1)).layers[-1]
    x = torch.rand(1, 1, 41, 41, requires_grad=True)
    torch.manual_seed(0)
    values = net.build((41, 41, 1))(x)
    height, width, _ = row.output
    sizes: list[tuple[int, int]] = []
    for step in range(3):
        (gradient,) = torch.autograd.grad(
            values[0, :, height // 2 + step, width // 2 + step].sum(), x, retain_graph=True
        )
        rows, columns = gradient[0, 0].nonzero(as_tuple=True)
        sizes.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    assert (max(h for h, _ in sizes), max(w for _, w in sizes)) == row.receptive_field


@pytest.mark.parametrize(
    ("text", "strides"),
    [
        ("conv3-2/2 maxpool3x2/2x3", [(2, 2), (4, 6)]),
        ("maxpool2 conv3-2 unpool2", [(2, 2), (2, 2), (1, 1)]),
        ("maxpool3/2 unpool3", [(2, 2), (1, 1)]),
        ("nearest2 tconv4-2/2p1", [(0.5, 0.5), (0.25, 0.25)]),
        ("conv3-2/2 fc-4 relu", [(2, 2), (0, 0), (0, 0)]),
    ],
)
def test_strides_of_the_fields(text: str, strides: list[tuple[float, float]]) -> None:
    rows = parse_net(text).summary((24, 24, 2)).layers
    assert [row.stride for row in rows] == strides


def test_an_unpooled_value_may_come_from_any_window_over_it() -> None:
    """Where windows overlap the maximum of either may stand in one place."""
    rows = parse_net("maxpool3/2 unpool3").summary((9, 9, 1)).layers
    assert rows[-1].receptive_field == (5, 5)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3)),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None, max_examples=100)
def test_what_is_too_long_to_follow_is_rounded_up(
    steps: list[tuple[bool, int, int, int]],
) -> None:
    """A field kept as one span for all positions holds the exact one, and moves on as fast."""
    exact = even = Sight()
    for slides, kernel, stride, dilation in steps:
        exact = (exact.slid if slides else exact.spread)(kernel, stride, 1, dilation)
        even = (even.slid if slides else even.spread)(kernel, stride, 1, dilation)
        even = Sight((even._even(),), even.stride)
    assert even.stride == pytest.approx(exact.stride)
    for position in range(2 * len(exact.spans)):
        span, held = exact.at(position), even.at(position)
        assert held is not None
        assert span is None or (held[0] <= span[0] + 1e-6 and held[1] >= span[1] - 1e-6)


def test_long_nets_of_enlarged_maps_are_followed_in_time() -> None:
    start = time.process_time()
    net = parse_net("nearest32 [conv9-1]*300 nearest100x1 [conv9-1]*100")
    (*_, before) = parse_net("nearest32 [conv9-1]*300").summary((2, 2, 1)).layers
    assert before.receptive_field == (1 + 8 * 300 // 32,) * 2
    (*_, last) = net.summary((2, 2, 1)).layers
    assert last.stride == (1 / 3200, 1 / 32)
    assert last.receptive_field == (76 + 2, 76 + 8 * 100 // 32)  # rows: rounded up
    assert MOST_STEPS < 32 * 100
    assert time.process_time() - start < 5
