"""Nets written for large images, on small ones: stem, poolings and head by the written rule."""

from itertools import pairwise

import pytest

from striate.nets import load_net, parse_net, zoo_nets

LARGE = [
    entry.name for entry in zoo_nets() if max((parse_net(entry.text).input or (0, 0))[:2]) > 64
]
# What cannot be helped where the strides are the net's own.
KNOWN_LOSSES = (
    *("maxpool3/2 on ", "conv5-256/2p0 on "),  # windows of 3 and 5 at stride 2 on an even map
    *("maxpool2 on 7x7x", "avgpool2 on 7x7x", "maxpool2 on 3x3x"),  # 28 is twice divisible by 2
)


@pytest.mark.parametrize("size", [(32, 32, 3), (28, 28, 1), (64, 64, 3)], ids=str)
@pytest.mark.parametrize("name", LARGE)
def test_every_large_net_is_sensible_on_small_images(name: str, size: tuple[int, int, int]) -> None:
    net = load_net(name)
    adapted = net.adapted_to(size).with_classes(10)
    summary = adapted.summary()
    assert summary.layers[-1].output == (1, 1, 10)
    for before, row in pairwise(summary.layers):
        assert min(before.output[:2]) > 1 or not row.text.startswith(("conv3", "conv5"))
    assert summary.parameters < 1.3 * net.summary(classes=10).parameters
    assert summary.depth == net.summary().depth
    losses = [text for text in summary.warnings if "dropped" in text]
    assert all(any(known in text for known in KNOWN_LOSSES) for text in losses)
    assert adapted.adapted_to(size).text == adapted.text


@pytest.mark.parametrize("size", [(8, 8, 1), (5, 9, 3), (65, 65, 3), (100, 70, 1)], ids=str)
@pytest.mark.parametrize("name", ["alexnet", "zfnet", "vgg16", "vgg11-bn", "resnet50"])
def test_odd_sizes_fit_too(name: str, size: tuple[int, int, int]) -> None:
    assert load_net(name).adapted_to(size).summary().layers[-1].output == (1, 1, 1000)


def test_resnet18_becomes_the_form_for_cifar() -> None:
    small = load_net("resnet18").adapted_to((32, 32, 3)).with_classes(10)
    assert small.graph == load_net("resnet18-cifar").graph
    assert small.summary().parameters == 11_173_962


BODIES = {
    ("alexnet", 32): (
        "conv3-96 relu lrn conv5-256g2 relu lrn maxpool3/2 conv3-384 relu conv3-384g2 relu "
        "conv3-256g2 relu maxpool3/2 [fc-4096 relu dropout0.5]*2 fc-1000"
    ),
    ("alexnet", 64): (
        "conv3-96 relu lrn maxpool3/2 conv5-256g2 relu lrn maxpool3/2 conv3-384 relu conv3-384g2 "
        "relu conv3-256g2 relu maxpool3/2 [fc-4096 relu dropout0.5]*2 fc-1000"
    ),
    ("vgg16", 28): (
        "[conv3-64 relu]*2 maxpool2 [conv3-128 relu]*2 maxpool2 [conv3-256 relu]*3 maxpool2 "
        "[conv3-512 relu]*3 [conv3-512 relu]*3 maxpool2 [fc-512 relu dropout0.5]*2 fc-1000"
    ),
    ("vgg16", 32): (
        "[conv3-64 relu]*2 maxpool2 [conv3-128 relu]*2 maxpool2 [conv3-256 relu]*3 maxpool2 "
        "[[conv3-512 relu]*3 maxpool2]*2 [fc-512 relu dropout0.5]*2 fc-1000"
    ),
}


@pytest.mark.parametrize(("name", "side"), BODIES)
def test_what_the_rule_makes(name: str, side: int) -> None:
    adapted = load_net(name).adapted_to((side, side, 3))
    assert adapted.text == f"input {side}x{side}x3 {BODIES[name, side]}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("densenet121", 6_956_426), ("googlenet", 5_976_122), ("alexnet", 70_508_426),
     ("vgg16", 15_245_130)],
)  # fmt: skip
def test_the_counts_in_the_documentation(name: str, parameters: int) -> None:
    adapted = load_net(name).adapted_to((32, 32, 3))
    assert adapted.summary(classes=10).parameters == parameters


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("input 224x224x3 conv7-64/2 bn relu maxpool3/2p1 fc-9", (65, 40, 3), None),
        ("input 64x64x3 conv7-64/2 maxpool2 fc-9", (32, 32, 3), None),
        ("conv7-64/2 maxpool2 fc-9", (32, 32, 3), None),
        ("input 99x99x3 conv7-64/2 maxpool2 fc-9", (99, 99, 3), None),
        ("input 99x99x3 conv7-64/2 maxpool2 fc-9", (200, 9, 3), None),
        ("input 99x99x3 conv3-64 maxpool2 fc-9", (9, 9, 3), None),
        ("input 99x99x3 [conv3-64/2]*2 maxpool2 fc-9", (9, 9, 3), None),
        ("input 99x99x3 fc-64 relu fc-9", (9, 9, 3), None),
        # The pooling of the stem: the map was 25, so 20 is nearer than 40; it was 55, so 40 is.
        (
            "input 99x99x3 conv7-64/2 bn relu maxpool2 fc-9",
            (64, 40, 3),
            "conv3-64 bn relu maxpool2 fc-9",
        ),
        ("input 219x219x3 conv7-64/2 bn relu maxpool2 fc-9", (64, 40, 3), "conv3-64 bn relu fc-9"),
        (
            "input 99x99x3 conv7-64/2b0 conv3-8 maxpool2 fc-9",
            (9, 9, 3),
            "conv3-64b0 conv3-8 maxpool2 fc-9",
        ),
        # A pooling that does not fit goes, and one that leaves a single value to a convolution.
        ("input 99x99x3 maxpool9 relu fc-9", (8, 8, 3), "relu fc-9"),
        ("input 99x99x3 maxpool9 conv1-4 fc-9", (9, 9, 3), None),
        ("input 99x99x3 maxpool9 conv3-4 fc-9", (9, 9, 3), "conv3-4 fc-9"),
        (
            "input 99x99x3 [maxpool2 conv3-4]*3 fc-9",
            (4, 4, 3),
            "maxpool2 conv3-4 conv3-4 conv3-4 fc-9",
        ),
        ("input 99x99x3 [maxpool2 conv3-4]*3 fc-9", (16, 16, 3), None),
        # The head: hidden layers narrow, in repeats too; the last one does not.
        ("input 99x99x3 fc-64 relu fc-9 fc-64", (4, 4, 1), "fc-16 relu fc-9 fc-64"),
        ("input 99x99x3 [[fc-64 relu]*2 tanh]*2 fc-64", (4, 4, 1), "[[fc-16 relu]*2 tanh]*2 fc-64"),
        ("input 99x99x3 [conv3-2/2 fc-64 reshape8x8x1]*2 fc-9", (4, 4, 1), None),
        # What a definition holds, and nets that undo their poolings, stay as they are.
        ("input 99x99x3 a = maxpool9 conv3-4\na fc-9", (8, 8, 3), None),
        ("input 99x99x3 maxpool2 conv3-3 unpool2", (8, 8, 3), None),
        ("input 99x99x3 maxpool2 gap", (1, 1, 3), "gap"),
    ],
)
def test_what_changes(text: str, size: tuple[int, int, int], expected: str | None) -> None:
    net = parse_net(text.replace("3 a =", "3\na ="))
    wanted = net if expected is None else parse_net(expected)
    assert net.adapted_to(size).text == wanted.with_input(size).text
