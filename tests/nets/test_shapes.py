"""Volumes by the lectures' formula, with the figures that the decks print."""

import pytest

from striate.errors import NetError
from striate.nets import Volume, parse_net
from striate.nets.windows import Axis


def output(text: str, *size: int) -> tuple[int, int, int]:
    return parse_net(text).summary(size).layers[-1].output


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("conv3-5p0", (7, 7, 3), (5, 5, 5)),
        ("conv3-5/2p0", (7, 7, 3), (3, 3, 5)),
        ("conv3-5", (7, 7, 3), (7, 7, 5)),
        ("conv5-5", (7, 7, 3), (7, 7, 5)),
        ("conv7-5", (7, 7, 3), (7, 7, 5)),
        ("conv5-10p2", (32, 32, 3), (32, 32, 10)),
        ("conv11-96/4p0", (227, 227, 3), (55, 55, 96)),
        ("conv3-2/3x2p0", (9, 9, 1), (3, 4, 2)),
        ("conv5x3-2p0", (9, 9, 1), (5, 7, 2)),
        ("conv3-2d2p2", (9, 9, 1), (9, 9, 2)),
        ("conv3-4/2p0c", (8, 8, 1), (4, 4, 4)),
        ("local3-4/2p0c", (8, 7, 1), (4, 3, 4)),
        ("conv1-4/2c", (8, 7, 1), (4, 4, 4)),  # a fifth window would stand beyond the end
        ("maxpool2", (4, 4, 1), (2, 2, 1)),
        ("maxpool3/2", (55, 55, 96), (27, 27, 96)),
        ("maxpool3/2c", (112, 112, 8), (56, 56, 8)),
        ("maxpool2/2p1c", (4, 4, 1), (3, 3, 1)),
        ("avgpool3/2p1", (5, 7, 2), (3, 4, 2)),
        ("gap", (5, 7, 2), (1, 1, 2)),
        ("fc-10", (5, 7, 2), (1, 1, 10)),
        ("nearest2", (3, 4, 2), (6, 8, 2)),
        ("nails2x3", (3, 4, 2), (6, 12, 2)),
        ("tconv3-8/2", (5, 5, 2), (9, 9, 8)),
        ("tconv3-8/2c", (5, 5, 2), (10, 10, 8)),
        ("tconv4-8/2p1", (5, 5, 2), (10, 10, 8)),
        ("reshape2x3x4", (4, 6, 1), (2, 3, 4)),
        ("maxpool2 relu unpool2", (7, 7, 2), (7, 7, 2)),
        ("maxpool2 (unpool2 | unpool2 relu)", (7, 7, 2), (7, 7, 4)),
        ("maxpool2 (maxpool2 unpool2 + skip) unpool2", (8, 7, 2), (8, 7, 2)),
        ("maxpool2 (maxpool2 nearest2 | skip) conv1-2 unpool2", (8, 8, 2), (8, 8, 2)),
        ("(conv1-4 | skip | conv3-8)", (5, 5, 2), (5, 5, 14)),
        ("(conv1-4 + conv3-4)", (5, 5, 2), (5, 5, 4)),
        ("whiten2", (32, 32, 3), (31, 31, 24)),
    ],
)
def test_output_volumes(text: str, size: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    assert output(text, *size) == expected


def test_a_stride_that_does_not_divide_is_a_warning_with_the_formula() -> None:
    assert parse_net("conv3-64/3p0").summary((7, 7, 3)).warnings == (
        "conv3-64/3p0 on 7x7x3: (7 - 3 + 2*0)/3 + 1 = 2.33 is not whole; "
        "the last row and column are dropped (padding 1 fits)",
    )


@pytest.mark.parametrize(
    ("text", "size", "lost"),
    [
        ("maxpool2", (7, 8, 1), "the last row is dropped"),
        ("maxpool3", (9, 11, 1), "the last 2 columns are dropped"),
        ("maxpool3", (11, 11, 1), "the last 2 rows and columns are dropped"),
        ("maxpool3", (10, 11, 1), "the last row and 2 columns are dropped"),
    ],
)
def test_what_is_lost_is_named(text: str, size: tuple[int, int, int], lost: str) -> None:
    (warning,) = parse_net(text).summary(size).warnings
    assert lost in warning


@pytest.mark.parametrize(
    "text",
    [
        "conv7-64/2",  # only padding is left over
        "maxpool3/2p1",
        "conv1-64/2",  # skips as many everywhere
        "maxpool2c",  # rounds up
    ],
)
def test_nothing_is_lost(text: str) -> None:
    assert parse_net(text).summary((56, 56, 3)).warnings == ()
    assert parse_net(text + " relu").summary((224, 224, 3)).warnings == ()


def test_softmax_at_the_end_is_a_warning() -> None:
    (warning,) = parse_net("fc-10 softmax").summary((4, 4, 1)).warnings
    assert "the loss applies it itself" in warning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv5-3p0", "line 1, column 1: conv5-3p0 on 3x3x3: (3 - 5 + 2*0)/1 + 1 = -1: the window"),
        ("relu maxpool4", "line 1, column 6: maxpool4 on 3x3x3: (3 - 4 + 2*0)/4 + 1 = 0.75: the"),
        ("conv3-4d3p0", "(3 - 7 + 2*0)/1 + 1 = -3: the window is larger than its input"),
        ("maxpool3/2p2", "a padding of 2x2 is more than half the window"),
        ("conv3-4g2", "2 groups do not divide both 3 channels and 4 kernels"),
        ("tconv1-4p3", "the output would be -3x-3"),
        ("reshape2x2x7", "27 values do not make 2x2x7, which has 28"),
        ("fc-10 conv3-8", "conv3-8 on 10: this needs height and width"),
        ("unpool2", "no maxpool before it is left to undo"),
        ("maxpool3 unpool2", "the maxpool to undo is maxpool3"),
        ("(maxpool2 nearest3 | skip) unpool2", "no maxpool before it is left to undo"),
        ("(nearest2 maxpool2 | unpool2)", "no maxpool before it is left to undo"),
        ("maxpool3 (unpool3 | nearest3) unpool3", "no maxpool before it is left to undo"),
        ("maxpool2 conv3-9 unpool2", "the maxpool to undo, maxpool2, gave 1x1x3"),
        (
            "(conv3-4 + conv3-5)",
            "branch 1 gives 3x3x4 and branch 2 gives 3x3x5: they cannot be add",
        ),
        ("(conv3-4 | maxpool3)", "gives 3x3x4 and branch 2 gives 1x1x3: they cannot be concatena"),
        ("(fc-3 + gap)", "branch 1 gives 3 and branch 2 gives 1x1x3"),
        ("u(n) = conv9-np0\nu(4)", "line 1, column 8: conv9-4p0 on 3x3x3"),
        ("u(n) = conv9-np0\nrelu u(4)", "(in u(4))"),
    ],
)
def test_layers_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(NetError) as error:
        parse_net(text).summary((3, 3, 3))
    assert message in str(error.value)


def test_a_net_needs_an_input_size() -> None:
    with pytest.raises(NetError, match="does not say for what images"):
        parse_net("fc-10").summary()
    with pytest.raises(NetError, match="not an input size"):
        parse_net("fc-10").summary((0, 3, 3))
    assert parse_net("input 4x4x1 fc-10").summary().input == (4, 4, 1)
    assert parse_net("input 4x4x1 fc-10").summary((5, 5, 3)).input == (5, 5, 3)


def test_volumes_print_as_in_the_lectures() -> None:
    assert str(Volume(32, 32, 3)) == "32x32x3"
    assert str(Volume(1, 1, 10, flat=True)) == "10"


def test_the_smallest_fitting_padding() -> None:
    assert Axis(7, 3, 3, 0).fitting == 1
    assert Axis(8, 2, 2, 0).fitting == 0
    assert Axis(7, 2, 2, 0).fitting is None
