"""The gradient check: right nets pass, and a wrong layer is named."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import striate
from striate.errors import ModelError, NetError, ResourceError, UsageError
from striate.explanation import check_gradient
from striate.nets import load_net, parse_net, zoo_nets
from striate.nets.layers import Add

ALL_LAYERS = (
    "input 16x16x2 whiten3 gelu maxpool3/2p1 local3-4/2 leaky tconv4-5/2p1 sigmoid ln nearest2 "
    "nails1x2 reshape16x16x10 (conv5x3-6/2x1p0x1g2d1 bn relu | conv5x3-4/2x1p0x1 maxpool2 conv3-4 "
    "unpool2 dropout0.5) silu lrn (l2pool3/1p1 + avgpool3/1p1 + skip) bnw0 code identity gap "
    "scale1/4 fc-7 tanh softmax"
)


class Wrong(nn.Module):
    """The identity, whose backward pass is spoilt by a function of the gradient."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def forward(self, x):
        spoil = self.spoil

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(context, values):
                return values.clone()

            @staticmethod
            def backward(context, gradient):
                return spoil(gradient.clone())

        return Function.apply(x)


def altered(text, name, module):
    """The module of a net, with one layer of its outermost chain replaced."""
    built = parse_net(text).build((8, 8, 2))
    built.layers[[*dict(built.layers.named_children())].index(name)] = module
    return built


def test_every_kind_of_layer_passes():
    check = check_gradient(ALL_LAYERS, entries=6)
    assert check.passed, check.wrong
    assert check.wrong is None
    check.raise_if_wrong()
    names = [layer.name for layer in check.layers]
    assert names.index("conv1") < names.index("unpool1") < names.index("concat1")
    assert {"add1", "dropout1", "bn2", "softmax1"} < set(names)
    found = {layer.name: layer for layer in check.layers}
    assert list(found["local1"].weights) == ["weight", "bias"]
    assert list(found["bn2"].weights) == ["bias"]
    assert list(found["whiten1"].weights) == ["bias"]
    assert found["concat1"].inputs.entries == 12  # six of each branch
    assert max(layer.error for layer in check.layers) < 1e-6


QUICK = ("perceptron", "logistic", "mlp16", "mlp50", "lenet5", "resnet20", "plain20")
# Nets of 32 to 56 layers have the layers of those of 20 and 110.
BETWEEN = {f"{kind}{depth}" for kind in ("plain", "resnet") for depth in (32, 44, 56)}
SMALL = [
    entry.name
    for entry in zoo_nets()
    if max(load_net(entry.name).input[:2]) <= 32 and entry.name not in BETWEEN
]


@pytest.mark.parametrize(
    "net", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SMALL]
)
def test_nets_of_the_zoo_for_small_images_pass(net):
    check = check_gradient(net, entries=2)
    assert check.passed, check.wrong


@pytest.mark.slow
@pytest.mark.parametrize("net", ["googlenet", "vgg11"])
def test_nets_for_large_images_pass_on_small_ones(net):
    check = check_gradient(net, input=(32, 32, 3), entries=4)
    assert check.passed, check.wrong


@pytest.mark.parametrize("seed", range(3))
def test_equal_maxima_and_dead_rectifiers_are_no_false_alarm(seed):
    # Overlapping windows over rectified values: zeros tie, in several windows at once.
    text = "conv3-4 relu maxpool3/1p1 relu maxpool3/1p1 maxpool3/1p1 l2pool3/1p1 fc-3"
    check = check_gradient(text, input=(8, 8, 2), entries=100, seed=seed, tolerance=1e-7)
    assert check.passed, check.wrong
    kinks = {layer.name: layer.kinks for layer in check.layers}
    assert kinks["maxpool3"] > 10
    assert kinks["conv1"] == kinks["fc1"] == 0


WORDS = (
    *("conv3-3", "local3-2", "tconv3-2", "maxpool3/1p1", "maxpool2/1", "avgpool3/1p1"),
    *("l2pool3/1p1", "bn", "ln", "lrn", "dropout0.3", "relu", "leaky", "tanh", "sigmoid"),
    *("gelu", "silu", "softmax", "scale1/50", "nails2", "nearest1x2", "(relu + skip)"),
    *("(conv1-3 + conv3-3)", "(skip | conv3-2 | maxpool3/1p1)"),
)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
def test_no_net_of_chance_is_a_false_alarm(words):
    check = check_gradient("conv3-3 " + " ".join(words), input=(6, 6, 2))
    assert check.passed, check.wrong


def test_a_tie_does_not_hide_a_wrong_gradient():
    class Generous(nn.Module):
        """Max pooling whose backward pass pays all that hold the maximum, twice."""

        def forward(self, x):
            windows = x.unfold(2, 2, 2).unfold(3, 2, 2)
            top = windows.amax(dim=(-2, -1), keepdim=True)
            spread = (windows * 2 * (windows == top)).sum(dim=(-2, -1))
            return spread + (top[..., 0, 0] - spread).detach()

    text = "conv3-4 relu maxpool2 fc-3"
    check = check_gradient(altered(text, "maxpool1", Generous()), entries=100)
    assert check.wrong.name == "maxpool1"


TEXT = "conv3-4 bn relu conv3-4 relu identity maxpool2 fc-3 identity"


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda gradient: gradient * 1.01, 0.01),
        (lambda gradient: gradient * 1.00001, 1e-5),
        (lambda gradient: -gradient, 2),
        (torch.zeros_like, 1),
        (lambda gradient: gradient * math.nan, math.inf),
    ],
    ids=["factor", "small factor", "sign", "zero", "nan"],
)
def test_the_first_wrong_layer_is_named(spoil, error):
    module = altered(TEXT, "identity1", Wrong(spoil))
    module.layers[8] = Wrong(spoil)
    check = check_gradient(module)
    assert not check.passed
    assert check.wrong.name == "identity1"
    assert check.wrong.text == "identity Wrong"
    assert check.wrong.error == pytest.approx(error, rel=0.9)
    assert [layer.name for layer in check.layers if not layer.passed] == ["identity1", "identity2"]
    with pytest.raises(ModelError, match=r"gradient of identity1 \(identity Wrong\) differs .* by"):
        check.raise_if_wrong()


def test_an_error_in_a_few_entries_is_found():
    def spoil(gradient):
        gradient[:, :, 0, 0] *= 2  # one corner
        return gradient

    check = check_gradient(altered(TEXT, "identity1", Wrong(spoil)), entries=1)
    assert check.wrong.name == "identity1"


def test_a_wrong_weight_gradient_is_found():
    class Forgetful(nn.Conv2d):
        """Learns from the first image only."""

        def forward(self, x):
            kept = super().forward(x[:1])
            rest = nn.functional.conv2d(x[1:], self.weight.detach(), self.bias, padding=1)
            return torch.cat([kept, rest])

    check = check_gradient(altered(TEXT, "conv2", Forgetful(4, 4, 3, padding=1)))
    wrong = check.wrong
    assert wrong.name == "conv2"
    assert wrong.weights["weight"].error > 0.01
    assert max(wrong.inputs.error, wrong.weights["bias"].error) < 1e-6


def test_a_wrong_join_of_branches_is_found():
    class Halved(Add):
        def join(self, values):
            return values[0] + values[1] - 0.5 * (values[1] - values[1].detach())

    module = altered("conv3-4 (conv3-4 + skip) fc-3", "add1", nn.Identity())
    module.layers[1] = Halved([nn.Sequential(nn.Conv2d(4, 4, 3, padding=1)), nn.Sequential()])
    wrong = check_gradient(module).wrong
    assert (wrong.name, wrong.text) == ("add1", "Halved")
    assert wrong.inputs.error == pytest.approx(1 / 3, rel=0.9)


def test_a_backward_pass_that_fails_is_wrong():
    check = check_gradient(altered(TEXT, "identity1", Wrong(lambda gradient: gradient[:, :1])))
    with pytest.raises(ModelError, match=r"identity1 .* cannot be had: Function .* invalid"):
        check.raise_if_wrong()
    document = check.to_json()["layers"][5]
    assert document["input"] == {"error": None, "entries": 0, "kinks": 0}
    assert "invalid gradient" in document["failure"]


def test_a_detached_output_is_wrong():
    class Detached(nn.Module):
        def forward(self, x):
            return x.detach()

    check = check_gradient(altered(TEXT, "identity1", Detached()))
    assert check.wrong.name == "identity1"
    assert "does not require grad" in check.wrong.failure


def test_a_layer_that_cannot_run_is_named():
    with pytest.raises(ModelError, match=r"maxpool1 cannot run: .*channels"):
        check_gradient(altered(TEXT, "maxpool1", nn.Conv2d(7, 4, 3)))

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    with pytest.raises(ModelError, match="identity1 gives values that are not finite"):
        check_gradient(altered("conv3-4 identity fc-3", "identity1", Root()))


def test_a_layer_may_work_in_place_and_be_random():
    class Noisy(nn.Module):
        def forward(self, x):
            return x.mul_(2).add_(torch.randn_like(x))

    assert check_gradient(altered(TEXT, "identity1", Noisy())).passed


def test_the_module_and_the_random_numbers_stay_as_they_were():
    module = parse_net("conv3-4 bn relu dropout0.5 fc-3").build((8, 8, 2)).eval()
    before = copy.deepcopy(module.state_dict())
    torch.manual_seed(5)
    check = check_gradient(module)
    found = torch.rand(1)
    torch.manual_seed(5)
    assert found == torch.rand(1)
    assert check.passed
    assert not module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_frozen_weights_are_not_compared():
    module = parse_net("conv3-4 fc-3").build((8, 8, 2))
    module.layers.conv1.weight.requires_grad_(False)
    check = check_gradient(module)
    assert list(check.layers[0].weights) == ["bias"]


def test_few_entries_are_all_compared():
    check = check_gradient("fc-2 relu", input=(2, 2, 1), batch=3, entries=50)
    first, second = check.layers
    assert first.inputs.entries == 12
    assert first.weights["weight"].entries == 8
    assert second.inputs.entries == 6


def test_the_same_seed_gives_the_same_document():
    documents = [check_gradient("conv3-4 relu fc-3", input=(6, 6, 1), seed=s) for s in (1, 1, 2)]
    first, again, other = (found.to_json() for found in documents)
    assert first == again
    assert first["layers"] != other["layers"]


def test_dropout_in_a_net_that_learned_nothing_yet():
    check = check_gradient("dropout0.9 fc-5 dropout0.5 fc-2", input=(4, 4, 1), entries=100)
    assert check.passed


def test_weights_far_from_their_start():
    module = parse_net("conv3-4 bn relu fc-30 sigmoid fc-3 softmax").build((8, 8, 2))
    with torch.no_grad():
        for number, weight in enumerate(module.parameters()):
            weight.mul_(10.0 ** (number % 5 - 2))
    assert check_gradient(module, entries=50).passed


def test_large_nets_are_refused_before_they_are_built():
    with pytest.raises(ResourceError, match=r"would take 2.*e\+12 multiply-adds; the limit is"):
        check_gradient("vgg16")
    with pytest.raises(ResourceError, match="weights are too many to check"):
        check_gradient("fc-40000 fc-40000", input=(32, 32, 3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch": 1}, UsageError, r"a batch of 1 \(from 2 to 1024"),
        ({"batch": 2000}, UsageError, "a batch of 2000"),
        ({"seed": -1}, UsageError, "a seed of -1"),
        ({"entries": 0}, UsageError, r"0 entries \(from 1 to"),
        ({"tolerance": 0.0}, UsageError, r"a tolerance of 0 \(from 1e-8 to 0.1"),
        ({"tolerance": math.nan}, UsageError, "a tolerance of nan"),
        ({"input": None}, NetError, "give the input size"),
        ({"input": (1, 1, 3)}, NetError, "maxpool2"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        check_gradient("conv3-4 maxpool2 fc-3", **{"input": (8, 8, 1), **options})


def test_a_module_has_its_own_size():
    module = parse_net("fc-2").build((8, 8, 2))
    with pytest.raises(UsageError, match=r"takes images of \(8, 8, 2\), not of \(9, 9, 2\)"):
        check_gradient(module, input=(9, 9, 2))
    assert striate.check_gradient(module, input=(8, 8, 2)).input == (8, 8, 2)


def test_places_are_those_of_the_tensor():
    from striate.explanation.differences import choose_places

    chance = np.random.default_rng(0)
    assert choose_places(torch.Size([2, 2]), 9, chance) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    places = choose_places(torch.Size([5, 6, 7]), 30, chance)
    assert len(set(places)) == 30
    assert all(i < 5 and j < 6 and k < 7 for i, j, k in places)
    assert choose_places(torch.Size([]), 3, chance) == [()]
