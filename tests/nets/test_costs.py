"""Parameters and multiply-adds, and the weights of layers that do not share: the decks' figures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import NetError
from striate.nets import parse_net
from striate.nets.costs import compare
from striate.nets.graph import Convolution, Volume


def parameters(text: str, *size: int) -> int:
    return parse_net(text).summary(size).parameters


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("conv5-10p2", (32, 32, 3), 760),
        ("conv11-96/4p0", (227, 227, 3), 34_944),
        ("local11-96/4p0", (227, 227, 3), 105_705_600),
        # The deck prints 66 billion, from 230,187 inputs: a slip, 227*227*3 is 154,587.
        ("fc-290400", (227, 227, 3), 290_400 * (154_587 + 1)),
        # 16 billion in the deck, without the biases.
        ("fc-400000b0", (200, 200, 1), 16_000_000_000),
        ("fc-1000b0", (256, 256, 3), 196_608_000),
        ("conv5-4b0", (9, 9, 3), 3 * 4 * 5 * 5),
        ("fc-16 sigmoid fc-16 sigmoid fc-10", (28, 28, 1), 13_002),
        ("conv3-64g32", (8, 8, 64), 64 * 2 * 9 + 64),
        ("tconv3-8/2", (8, 8, 4), 4 * 8 * 9 + 8),
        ("bn", (8, 8, 4), 8),
        ("bnw0", (8, 8, 4), 4),
        ("ln", (8, 8, 4), 8),
        ("whiten2", (32, 32, 3), 24),
        ("relu maxpool2 gap dropout0.5 lrn", (8, 8, 4), 0),
    ],
)
def test_parameter_counts(text: str, size: tuple[int, ...], expected: int) -> None:
    assert parameters(text, *size) == expected


def test_locally_connected_fields_of_the_deck() -> None:
    """400,000 units that each see 10x10 pixels of a 200x200 image: 40 million weights."""
    summary = parse_net("local10-10/1p0b0").summary((200 + 9, 200 + 9, 1))
    assert summary.layers[0].output == (200, 200, 10)
    assert summary.parameters == 40_000_000


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("conv3-8", (10, 12, 4), 10 * 12 * 8 * 9 * 4),
        ("conv3-8/2g2", (10, 12, 4), 5 * 6 * 8 * 9 * 2),
        ("local3-8", (10, 12, 4), 10 * 12 * 8 * 9 * 4),
        ("tconv2-8/2", (10, 12, 4), 10 * 12 * 4 * 4 * 8),
        ("whiten2", (32, 32, 3), 31 * 31 * 24 * 12),
        ("fc-10", (10, 12, 4), 4800),
        ("bn relu maxpool2", (10, 12, 4), 0),
    ],
)
def test_multiply_adds(text: str, size: tuple[int, ...], expected: int) -> None:
    assert parse_net(text).summary(size).multiply_adds == expected


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        # 001's first layer of AlexNet; 66 billion there for the last: from 230,187 inputs, a slip.
        ("conv11-96/4p0", (227, 227, 3), (290_400, 34_944, 105_705_600, 44_892_355_200)),
        # 002's 200x200 image and 400,000 hidden units, full and with fields of 10x10.
        ("local10-10/1p0b0", (209, 209, 1), (400_000, 1_000, 40_000_000, 209 * 209 * 400_000)),
        ("conv5-10p2", (32, 32, 3), (10_240, 760, 10_240 * 76, 10_240 * 3_073)),
        # 003's layer from 256x256x3 to 1,000 classes: a window as large as the image is all three.
        ("conv256-1000p0b0", (256, 256, 3), (1_000, 196_608_000, 196_608_000, 196_608_000)),
        # 002's matrix: 3 weights shared. It counts 3n-2 when local, without the two on the padding.
        ("conv3x1-1/1p1x0b0", (5, 1, 1), (5, 3, 15, 25)),
    ],
)
def test_a_convolution_beside_its_unshared_and_its_full_form(
    text: str, size: tuple[int, int, int], expected: tuple[int, int, int, int]
) -> None:
    (row,) = parse_net(text).summary(size, compare_fc=True).layers
    found = row.comparison
    assert found is not None
    assert (found.outputs, found.shared, found.local, found.full) == expected


def test_a_full_layer_of_400_000_units_on_200x200_has_16_billion_weights() -> None:
    comparison = compare(
        Convolution((1, 1), 10, bias=False), Volume(200, 200, 1), Volume(200, 200, 10)
    )
    assert comparison is not None
    assert comparison.full == 16_000_000_000


@given(
    st.tuples(st.integers(3, 9), st.integers(3, 9), st.sampled_from([2, 4])),
    st.sampled_from(["3-4", "2x3-2/2", "3-4g2", "3-2p0b0", "3-6/2x1d2"]),
)
@settings(deadline=None, max_examples=40)
def test_the_other_forms_cost_what_they_cost_as_layers(
    size: tuple[int, int, int], window: str
) -> None:
    """The layers themselves, put in the place of the convolution, have the parameters predicted."""
    try:
        (row,) = parse_net(f"conv{window}").summary(size, compare_fc=True).layers
    except NetError:
        return
    height, width, channels = row.output
    bias = "b0" if "b0" in window else ""
    found = row.comparison
    assert found is not None
    assert found.outputs == height * width * channels
    assert found.shared == row.parameters
    assert found.local == parameters(f"local{window}", *size)
    assert found.full == parameters(f"fc-{found.outputs}{bias}", *size)
    (local,) = parse_net(f"local{window}").summary(size, compare_fc=True).layers
    assert local.comparison == found


def test_only_convolutions_are_compared_and_only_when_asked() -> None:
    net = parse_net("conv3-4 relu maxpool2 tconv2-4/2 fc-3")
    compared = net.summary((4, 4, 1), compare_fc=True).layers
    assert [row.name for row in compared if row.comparison] == ["conv1"]
    assert "compare_fc" in compared[0].to_json()
    assert all(row.comparison is None for row in net.summary((4, 4, 1)).layers)
