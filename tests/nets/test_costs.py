"""Parameters, multiply-adds and receptive fields: the decks' figures, and PyTorch's gradients."""

import pytest
import torch

from striate.nets import parse_net


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


@pytest.mark.parametrize(
    "text",
    [
        "conv3-2 conv5-2/2 conv3-2",
        "conv5x3-2 avgpool2 conv3-2",
        "conv3-2d2 conv3-3/2 tanh conv3-2",
        "(conv3-2 | conv5-2 conv3-2) conv3-2",
        "(conv3-1 + skip) conv3-2/2",
        "conv3-2/2 nearest2 conv3-2",
        "local3-2 conv3-2",
    ],
)
def test_fields_are_what_gradients_reach(text: str) -> None:
    """The gradient of one value in the middle is not zero in just so many rows and columns."""
    net = parse_net(text)
    row = net.summary((41, 41, 1)).layers[-1]
    x = torch.rand(1, 1, 41, 41, requires_grad=True)
    torch.manual_seed(0)
    values = net.build((41, 41, 1))(x)
    height, width, _ = row.output
    reached: list[tuple[int, int]] = []
    for step in range(2):  # neighbours: upsampled ones may see one pixel less
        (gradient,) = torch.autograd.grad(
            values[0, :, height // 2 + step, width // 2 + step].sum(), x, retain_graph=True
        )
        rows, columns = gradient[0, 0].nonzero(as_tuple=True)
        reached.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    assert max(reached) == row.receptive_field
