"""Every net of the zoo: its count of parameters, its depth, its file, and that it runs."""

import math

import pytest
import torch

from striate.errors import NetError
from striate.nets import load_net, parse_net, zoo_nets

# name: parameters, depth. Counts that torchvision, the papers or their authors' files publish.
PUBLISHED = {
    "perceptron": (1_570, 1),
    "logistic-binary": (1_570, 1),
    "logistic": (7_850, 1),
    "mlp16": (13_002, 3),
    "mlp50": (39_760, 2),
    "autoencoder-8-3-8": (59, 2),
    "autoencoder-linear": (47_854, 2),
    "autoencoder-full": (2_837_314, 8),
    "autoencoder-unpool": (37_353, 10),
    "autoencoder-tconv": (599_715, 8),
    "lenet5": (61_706, 5),
    "alexnet": (60_965_224, 8),
    "alexnet-torchvision": (61_100_840, 8),
    "zfnet": (62_357_608, 8),
    "googlenet": (6_998_552, 22),
    "googlenet-torchvision": (6_624_904, 22),
    "vgg11": (132_863_336, 11),
    "vgg13": (133_047_848, 13),
    "vgg16c": (133_638_952, 16),
    "vgg16": (138_357_544, 16),
    "vgg19": (143_667_240, 19),
    "vgg11-bn": (132_868_840, 11),
    "vgg13-bn": (133_053_736, 13),
    "vgg16-bn": (138_365_992, 16),
    "vgg19-bn": (143_678_248, 19),
    "resnet18": (11_689_512, 18),
    "resnet18-cifar": (11_173_962, 18),
    "resnet34": (21_797_672, 34),
    "resnet50": (25_557_032, 50),
    "resnet101": (44_549_160, 101),
    "resnet152": (60_192_808, 152),
    "resnet20": (272_474, 20),
    "resnet32": (466_906, 32),
    "resnet44": (661_338, 44),
    "resnet56": (855_770, 56),
    "resnet110": (1_730_714, 110),
    "plain20": (269_722, 20),
    "plain32": (464_154, 32),
    "plain44": (658_586, 44),
    "plain56": (853_018, 56),
    "plain110": (1_727_962, 110),
    "densenet121": (7_978_856, 121),
    "densenet169": (14_149_480, 169),
    "densenet161": (28_681_000, 161),
    "densenet201": (20_013_928, 201),
    "densenet40": (1_019_722, 40),
    "densenet100-bc": (769_162, 100),
}
NAMES = [entry.name for entry in zoo_nets()]


def test_each_net_has_its_count_here() -> None:
    assert sorted(NAMES) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_depth(name: str) -> None:
    summary = load_net(name).summary()
    assert (summary.parameters, summary.depth) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("vgg11", 7.609), ("vgg13", 11.308), ("vgg16", 15.47), ("vgg16-bn", 15.47),
        ("vgg19", 19.632), ("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089),
        ("resnet101", 7.801), ("resnet152", 11.514), ("densenet121", 2.834), ("densenet161", 7.728),
        ("densenet169", 3.36), ("densenet201", 4.291), ("googlenet", 1.583),
        ("googlenet-torchvision", 1.498), ("alexnet-torchvision", 0.714),
    ],
)  # fmt: skip
def test_multiply_adds(name: str, billions: float) -> None:
    assert load_net(name).summary().multiply_adds == pytest.approx(billions * 1e9, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_short_and_say_where_they_come_from(name: str) -> None:
    entry = next(entry for entry in zoo_nets() if entry.name == name)
    assert 1950 < entry.year < 2030
    assert entry.title
    assert entry.source
    assert entry.text.count("\n") <= 20
    assert parse_net(parse_net(entry.text).text).graph == parse_net(entry.text).graph


def test_the_maps_of_zf_net_are_the_papers() -> None:
    sides = [row.output[0] for row in load_net("zfnet").summary().layers if "pool" in row.text]
    assert sides == [55, 13, 6]


def test_the_zoo_is_sorted_by_year() -> None:
    years = [entry.year for entry in zoo_nets()]
    assert years == sorted(years)
    assert NAMES.index("plain20") < NAMES.index("plain110")


def test_autoencoders_mark_their_code_and_give_what_they_take() -> None:
    found = [name for name in NAMES if name.startswith("autoencoder-")]
    assert len(found) == 5
    for name in found:
        summary = load_net(name).summary()
        assert summary.layers[-1].output == summary.input
        codes = [row for row in summary.layers if row.text == "code"]
        assert len(codes) == 1
        height, width, channels = codes[0].output
        assert height * width * channels < 0.6 * math.prod(summary.input)
        with pytest.raises(NetError, match="the net ends in .*, not in a fully connected layer"):
            load_net(name).with_classes(10)


SMALL = [name for name in NAMES if max(load_net(name).summary().input[:2]) <= 32]


# Those of 100 layers and more are trained in tests/slow.
@pytest.mark.parametrize("name", [name for name in SMALL if PUBLISHED[name][1] < 100])
def test_small_nets_run_forward_and_backward(name: str) -> None:
    summary = load_net(name).summary()
    height, width, channels = summary.input
    module = load_net(name).build()
    output = module(torch.rand(2, channels, height, width))
    height, width, channels = summary.layers[-1].output
    assert output.shape in ((2, channels), (2, channels, height, width))
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("name", ["googlenet", "densenet121", "resnet50"])
def test_large_nets_run_on_smaller_images(name: str) -> None:
    module = load_net(name).with_classes(3).build((64, 64, 3)).eval()
    assert module(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_unpublished_names_are_refused_with_a_near_one() -> None:
    with pytest.raises(NetError, match="did you mean resnet18"):
        load_net("resnet81")
    with pytest.raises(NetError, match="lists the nets"):
        load_net("xyzzyx")
