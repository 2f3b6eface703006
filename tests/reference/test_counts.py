"""How many weights: the sums of the decks, by formula and by the nets that have these layers."""

import pytest

import striate
from striate.reference import full_weights, local_weights, output_size, shared_weights


def counted(text, height, width, channels):
    return striate.parse_net(text).summary((height, width, channels)).parameters


def test_ten_kernels_5x5_on_32x32x3():
    # deck 004: (5*5*3 + 1) * 10
    assert shared_weights((5, 5), 3, 10) == 760
    assert counted("conv5-10", 32, 32, 3) == 760
    assert output_size(32, 5, padding=2) == 32


def test_alexnets_first_layer():
    # deck 001: 364 weights a kernel
    side = output_size(227, 11, stride=4)
    outputs = side * side * 96
    assert outputs == 290_400
    assert shared_weights((11, 11), 3, 1) == 364
    assert shared_weights((11, 11), 3, 96) == 34_944
    assert local_weights((11, 11), 3, outputs) == 105_705_600
    # The deck has 66 billion, from 230,187 inputs: a slip, for 227 * 227 * 3 is 154,587.
    assert 227 * 227 * 3 == 154_587
    assert full_weights(154_587, outputs, bias=False) == 44_892_064_800
    assert counted("conv11-96/4p0", 227, 227, 3) == 34_944
    assert counted("local11-96/4p0", 227, 227, 3) == 105_705_600
    assert counted("fc-290400b0", 227, 227, 3) == 44_892_064_800


def test_full_and_local_on_an_image_of_200x200():
    # deck 002: 400,000 hidden units, fields of 10x10
    assert full_weights(200 * 200, 400_000, bias=False) == 16_000_000_000
    assert local_weights((10, 10), 1, 400_000, bias=False) == 40_000_000
    assert counted("fc-400000b0", 200, 200, 1) == 16_000_000_000
    # With stride 20 there are 10 * 10 fields, so 4,000 units at each.
    assert counted("local10-4000/20p0b0", 200, 200, 1) == 40_000_000


def test_a_thousand_classes_in_one_layer():
    # deck 003
    assert full_weights(256 * 256 * 3, 1000, bias=False) == 196_608_000
    assert counted("fc-1000b0", 256, 256, 3) == 196_608_000


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_layer_from_3_to_4_channels(kernel):
    # deck 003: 3 * 4 * kernel height * kernel width
    assert shared_weights((kernel, kernel), 3, 4, bias=False) == 3 * 4 * kernel * kernel
    assert counted(f"conv{kernel}-4b0", 16, 16, 3) == 3 * 4 * kernel * kernel


def test_a_full_layer_against_one_kernel():
    # deck 004: 2.4 million against 75, without biases
    assert full_weights(32 * 32 * 3, 28 * 28, bias=False) == 2_408_448
    assert shared_weights((5, 5), 3, 1, bias=False) == 75
