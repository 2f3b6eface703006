"""The figures that the lectures print about layers and nets, each on the net text it is about.

The number of a deck stands before its figures. Where a deck slips, the right figure is tested and
the slip is named. The same layers in plain NumPy are held to them in tests/reference.
"""

import pytest
import torch

from striate.nets import load_net, parse_net
from striate.nets.build import NetModule
from striate.nets.graph import steps

Size = tuple[int, int, int]

OUTPUTS: dict[str, tuple[str, Size, Size]] = {
    # The output is floor((W - F + 2P)/S) + 1, down and across apart.
    "004: 7x7, F=3, S=1": ("conv3-1p0", (7, 7, 1), (5, 5, 1)),
    "004: 7x7, F=3, S=2": ("conv3-1/2p0", (7, 7, 1), (3, 3, 1)),
    "004: 7x7, F=3, S=3 does not fit": ("conv3-1/3p0", (7, 7, 1), (2, 2, 1)),
    "004: 7x7, F=3, P=1": ("conv3-1p1", (7, 7, 1), (7, 7, 1)),
    "001: S_h=3, S_w=2": ("conv3-1/3x2p0", (9, 9, 1), (3, 4, 1)),
    "004: F=3, P=1 keeps": ("conv3-1p1", (9, 8, 3), (9, 8, 1)),
    "004: F=5, P=2 keeps": ("conv5-1p2", (9, 8, 3), (9, 8, 1)),
    "004: F=7, P=3 keeps": ("conv7-1p3", (9, 8, 3), (9, 8, 1)),
    "001: 32x32x3, F=5": ("conv5-1p0", (32, 32, 3), (28, 28, 1)),
    "004: 32x32x3, six of F=5": ("conv5-6p0", (32, 32, 3), (28, 28, 6)),
    "004: 32x32x3, ten of F=5, P=2": ("conv5-10p2", (32, 32, 3), (32, 32, 10)),
    "001: AlexNet's first layer": ("conv11-96/4p0", (227, 227, 3), (55, 55, 96)),
    "001: overlapping pooling, F=3, S=2": ("maxpool3/2", (55, 55, 96), (27, 27, 96)),
    "001: unpooling to 4x4": ("nearest2", (2, 2, 1), (4, 4, 1)),
}


@pytest.mark.parametrize("figure", OUTPUTS)
def test_output_volumes(figure: str) -> None:
    text, size, expected = OUTPUTS[figure]
    assert parse_net(text).summary(size).layers[-1].output == expected


@pytest.mark.parametrize("side", [3, 5, 7])
def test_the_padding_is_half_of_the_window_less_one_by_default(side: int) -> None:
    assert parse_net(f"conv{side}-1p{(side - 1) // 2}").text == f"conv{side}-1"


def test_a_stride_that_does_not_fit_is_told_with_the_decks_2_33() -> None:
    (warning,) = parse_net("conv3-1/3p0").summary((7, 7, 1)).warnings
    assert "(7 - 3 + 2*0)/3 + 1 = 2.33 is not whole" in warning


PARAMETERS: dict[str, tuple[str, Size, int]] = {
    "004: 32x32x3, ten of F=5": ("conv5-10p2", (32, 32, 3), 760),
    "004: (F*F*D + 1)*K": ("conv3-7", (8, 8, 11), (3 * 3 * 11 + 1) * 7),
    "004: a layer without sharing, no biases": ("fc-784b0", (32, 32, 3), 3_072 * 784),  # 2.4M
    "004: the same with sharing": ("conv5-1p0b0", (32, 32, 3), 75),
    "001: AlexNet's first layer": ("conv11-96/4p0", (227, 227, 3), 34_944),
    "001: the same without sharing": ("local11-96/4p0", (227, 227, 3), 105_705_600),
    # The deck says 66 billion, from 230,187 inputs: a slip, 227*227*3 are 154,587.
    "001: the same fully connected": ("fc-290400b0", (227, 227, 3), 44_892_064_800),
    "002: 400,000 units on 200x200": ("fc-400000b0", (200, 200, 1), 16_000_000_000),
    "002: the same on 10x10 fields": ("local10-1000/10p0b0", (200, 200, 1), 40_000_000),
    # 002 draws a layer as a matrix: n*n when full, 3n - 2 when local (and 2 more on the padding),
    # 3 when shared.
    "002: n=5, full": ("fc-5b0", (1, 5, 1), 25),
    "002: n=5, local": ("local1x3-1b0", (1, 5, 1), 3 * 5 - 2 + 2),
    "002: n=5, shared": ("conv1x3-1b0", (1, 5, 1), 3),
    "003: 256x256x3 to 1,000 classes": ("fc-1000b0", (256, 256, 3), 196_608_000),
    "003: from 3 to 4 channels": ("conv5x7-4b0", (16, 16, 3), 3 * 4 * 5 * 7),
    "001: a pooling": ("maxpool2", (32, 32, 3), 0),
}


@pytest.mark.parametrize("figure", PARAMETERS)
def test_parameters_of_layers(figure: str) -> None:
    text, size, expected = PARAMETERS[figure]
    assert parse_net(text).summary(size).parameters == expected


def test_the_outputs_of_alexnets_first_layer() -> None:
    row = parse_net("conv11-96/4p0").summary((227, 227, 3)).layers[0]
    assert row.activation_bytes == 4 * 290_400


def with_kernel(text: str, size: Size, kernel: list[list[float]]) -> NetModule:
    """A net of one layer with this kernel and no bias."""
    module = parse_net(text).build(size)
    (layer,) = module.layers
    layer.weight.data.copy_(torch.tensor(kernel)[None, None])
    return module


IMAGE_000 = [
    [0, 0, 0, 0, 0, 0], [0, 1, 2, 2, 1, 0], [0, 2, 4, 4, 2, 0],
    [0, 1, 3, 3, 1, 0], [0, 1, 2, 3, 1, 0], [0, 0, 1, 1, 0, 0],
]  # fmt: skip
IMAGE_002 = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
LAPLACE = [[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]
CONVOLVED = {
    # The deck prints 3 for the last number of the third row: a slip.
    "000: Laplace": (
        "conv3-1p0b0", IMAGE_000, LAPLACE,
        [[0, -1, -1, 0], [-2, -5, -5, -2], [2, -2, -1, 2], [-1, 0, -5, 0]],
    ),
    "000: stride 2": (
        "conv2-1/2b0", IMAGE_000, [[0.0, 1], [1, -2]], [[-2, -2, 1], [0, 1, 1], [1, 2, 0]],
    ),
    "002: one row": ("conv1x3-1p0b0", [[1, 1, 1, 0, 0]], [[1.0, 0, 1]], [[2, 1, 1]]),
    "002: a cross": (
        "conv3-1p0b0", IMAGE_002, [[1.0, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[4, 3, 4], [2, 4, 3], [2, 3, 4]],
    ),
    # 001 in matrix form, with x, y, z = 1, 10, 100 and a, b, c, d = 1, 2, 3, 4.
    "001: stride 2, padding 1": (
        "conv1x3-1/1x2p0x1b0", [[1, 2, 3, 4]], [[1.0, 10, 100]], [[210, 432]],
    ),
    "001: the transposed matrix": (
        "tconv1x3-1/1x2p0b0c", [[1, 2]], [[1.0, 10, 100]], [[1, 10, 102, 20, 200, 0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("figure", CONVOLVED)
def test_convolutions(figure: str) -> None:
    text, image, kernel, expected = CONVOLVED[figure]
    pixels = torch.tensor(image, dtype=torch.float32)[None, None]
    module = with_kernel(text, (*pixels.shape[2:], 1), kernel)
    assert module.layers(pixels).squeeze((0, 1)).tolist() == expected


def test_with_padding_1_the_image_of_000_keeps_its_size() -> None:
    module = with_kernel("conv3-1b0", (6, 6, 1), LAPLACE)
    assert module(torch.tensor(IMAGE_000, dtype=torch.float32)[None, None]).shape[2:] == (6, 6)


def test_pooling_and_unpooling_of_001() -> None:
    image = torch.tensor([[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])[None, None]
    small = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    pool, unpool = parse_net("maxpool2 unpool2").build((4, 4, 1)).layers
    assert pool(image).squeeze().tolist() == [[5, 6], [7, 8]]
    assert unpool(small).squeeze().tolist() == [
        [0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4],
    ]  # fmt: skip
    nearest = parse_net("nearest2").build((2, 2, 1))(small)
    assert nearest.squeeze().tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    nails = parse_net("nails2").build((2, 2, 1))(small)
    assert nails.squeeze().tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


# 001's table of VGG-16: volumes, weights (biases not counted there). The memory that it prints is
# the product rounded: 3.2M for 224*224*64 = 3,211,264.
VGG16 = {
    "conv1": ((224, 224, 64), 1_728), "conv2": ((224, 224, 64), 36_864),
    "maxpool1": ((112, 112, 64), 0), "conv3": ((112, 112, 128), 73_728),
    "conv4": ((112, 112, 128), 147_456), "maxpool2": ((56, 56, 128), 0),
    "conv5": ((56, 56, 256), 294_912), "conv6": ((56, 56, 256), 589_824),
    "conv7": ((56, 56, 256), 589_824), "maxpool3": ((28, 28, 256), 0),
    "conv8": ((28, 28, 512), 1_179_648), "conv9": ((28, 28, 512), 2_359_296),
    "conv10": ((28, 28, 512), 2_359_296), "maxpool4": ((14, 14, 512), 0),
    "conv11": ((14, 14, 512), 2_359_296), "conv12": ((14, 14, 512), 2_359_296),
    "conv13": ((14, 14, 512), 2_359_296), "maxpool5": ((7, 7, 512), 0),
    "fc1": ((1, 1, 4096), 102_760_448), "fc2": ((1, 1, 4096), 16_777_216),
    "fc3": ((1, 1, 1000), 4_096_000),
}  # fmt: skip


def test_the_table_of_vgg16() -> None:
    rows = {row.name: row for row in load_net("vgg16").summary().layers}
    counted = [name for name, row in rows.items() if row.parameters or "maxpool" in name]
    assert counted == list(VGG16)
    for name, (output, weights) in VGG16.items():
        biases = output[2] if weights else 0
        assert rows[name].output == output
        assert rows[name].parameters == weights + biases
        assert rows[name].activation_bytes == 4 * output[0] * output[1] * output[2]


# 001's table of the configurations, column by column; A, cut off in the deck, is the paper's.
COLUMNS = {
    "vgg11": "64 | 128 | 256 256 | 512 512 | 512 512",
    "vgg13": "64 64 | 128 128 | 256 256 | 512 512 | 512 512",
    "vgg16c": "64 64 | 128 128 | 256 256 1x256 | 512 512 1x512 | 512 512 1x512",
    "vgg16": "64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512",
    "vgg19": "64 64 | 128 128 | 256 256 256 256 | 512 512 512 512 | 512 512 512 512",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_configurations_of_vgg(name: str) -> None:
    words = [step.text for step in steps(load_net(name).graph)]
    kept = [word for word in words if word.startswith(("conv", "maxpool", "fc"))]
    expected = [
        "maxpool2" if word == "|" else f"conv{'1-' if 'x' in word else '3-'}{word[-3:].strip('x')}"
        for word in f"{COLUMNS[name]} |".split()
    ]
    assert kept == [*expected, "fc-4096", "fc-4096", "fc-1000"]


NETS = {
    "001: the MLP": ("mlp16", 3, 13_002),
    "001: VGG-16": ("vgg16", 16, 138_357_544),
    "torchvision: ResNet-50": ("resnet50", 50, 25_557_032),
    "torchvision: DenseNet-121": ("densenet121", 121, 7_978_856),
    "001: the MLP of scikit-learn's page": ("mlp50", 2, 39_760),
    "001: LeNet-5, 2 convolutions and 3 fully connected layers": ("lenet5", 5, 61_706),
    "002: AlexNet, 8 layers and about 60M": ("alexnet", 8, 60_965_224),
}


@pytest.mark.parametrize("figure", NETS)
def test_nets(figure: str) -> None:
    name, depth, parameters = NETS[figure]
    summary = load_net(name).summary()
    assert (summary.depth, summary.parameters) == (depth, parameters)


def test_the_mlp_is_the_decks_sum() -> None:
    assert 784 * 16 + 16 * 16 + 16 * 10 + 16 + 16 + 10 == 13_002


def test_the_pattern_of_most_nets() -> None:
    """INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*Q -> FC, as 004 has it."""
    net = parse_net("input 32x32x3 [[conv3-8 relu]*2 maxpool2]*3 [fc-16 relu]*2 fc-10")
    words = [step.text for step in steps(net.graph)]
    block = ["conv3-8", "relu", "conv3-8", "relu", "maxpool2"]
    assert words == [*block * 3, *["fc-16", "relu"] * 2, "fc-10"]
    assert net.summary().layers[14].output == (4, 4, 8)
