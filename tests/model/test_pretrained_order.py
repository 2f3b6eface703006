"""The order of layers: what names allow, in any order of the file, and never for ever."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import ModelError
from striate.model.pretrained.layers import net_layers, stored_layers
from striate.model.pretrained.match import match
from striate.model.pretrained.order import arrange, begin, is_auxiliary
from striate.nets import parse_net


def layers_of(*names):
    return stored_layers({f"{name}.weight": (1,) for name in names})


def first_order(*names):
    """The order that is tried first."""
    position, order = begin(arrange(layers_of(*names), "file")), []
    while not position.at_end:
        layer, position = next(iter(position.next_layers()))
        order.append(layer.name)
    return order


@pytest.mark.parametrize(
    "names",
    [
        ["conv1", "conv2", "conv10"],
        ["features.0", "features.3", "features.10", "classifier.1"],
        ["bn1", "conv1", "layer1.0", "layer1.1", "layer2.0", "fc"],
        ["block.conv1", "block.conv2", "block.downsample.0", "block.downsample.1"],
        ["inception3a.branch1", "inception3b.branch1", "inception4a.branch1", "fc"],
        ["a.norm.1", "a.norm.2", "a.norm3", "a.norm.4"],
        ["norm1", "layer1.norm1"],
        ["stem", "stages.1", "head.fc"],
        ["weights1x1", "weights1x3", "weights3x1"],
    ],
)
def test_the_likeliest_order(names):
    assert first_order(*sorted(names)) == names


def test_layers_under_one_name_come_together():
    position = begin(arrange(layers_of("a.1", "a.2", "b.1"), "file"))
    (_, after), *_ = position.next_layers()
    assert [layer.name for layer, _ in position.next_layers()] == ["a.1", "b.1"]
    assert [layer.name for layer, _ in after.next_layers()] == ["a.2"]


@pytest.mark.parametrize("name", ["aux1.conv.conv", "AuxLogits.fc", "model.aux_head.0"])
def test_auxiliary_heads_are_left_out(name):
    assert is_auxiliary(name)
    assert first_order("fc", name) == ["fc"]


def test_a_name_of_too_many_parts_is_refused():
    with pytest.raises(ModelError, match="has 40 parts .at most 32 are read"):
        arrange(layers_of(".".join("a" * 40)), "file")


@st.composite
def residual_nets(draw):
    """A residual net, and the names that torchvision would give its layers, in order."""
    widths = draw(st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=3))
    bottleneck, late_norm = draw(st.booleans()), draw(st.sampled_from(["bn", "norm"]))
    text, names, inputs = [f"conv3-{widths[0]} bn relu"], ["conv1", f"{late_norm}1"], widths[0]
    for stage, width in enumerate(widths, 1):
        for block in range(draw(st.integers(1, 3))):
            sizes = [1, 3, 1] if bottleneck else [3, 3]
            body = " relu ".join(f"conv{size}-{width} bn" for size in sizes)
            projected = width != inputs or draw(st.booleans())
            text.append(f"({body} + {f'conv1-{width} bn' if projected else 'skip'}) relu")
            where = f"layer{stage}.{block}"
            for number in range(1, len(sizes) + 1):
                names += [f"{where}.conv{number}", f"{where}.{late_norm}{number}"]
            if projected:
                names += [f"{where}.downsample.0", f"{where}.downsample.1"]
            inputs = width
    return f"input 8x8x3 {' '.join(text)} gap fc-5", [*names, "fc"]


@settings(deadline=None, max_examples=60)
@given(net=residual_nets(), random=st.randoms(use_true_random=False))
def test_residual_nets_are_found_whatever_the_order_of_the_file(net, random):
    text, names = net
    layers = net_layers(parse_net(text))
    assert len(layers) == len(names)
    shapes = {
        f"{name}.{part}": shape
        for name, layer in zip(names, layers, strict=True)
        for part, shape in layer.tensors.items()
    }
    keys = list(shapes)
    random.shuffle(keys)
    pairs = match(layers, stored_layers({key: shapes[key] for key in keys}), "file")
    assert [there.name for _, there in pairs] == names


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.from_regex(r"[a-c0-3.]{0,12}(weight|bias|running_mean|x)", fullmatch=True),
        st.lists(st.sampled_from([1, 3, 4]), max_size=4).map(tuple),
        max_size=30,
    )
)
def test_any_names_and_shapes_fit_or_are_refused(shapes):
    layers = net_layers(parse_net("input 4x4x1 conv3-4 bn relu conv3-4 relu fc-3"))
    outcome = ""
    try:
        assert len(match(layers, stored_layers(shapes), "file")) >= len(layers) - 1
    except ModelError as error:
        outcome = str(error)
    assert "\n" not in outcome


def test_a_file_made_to_be_searched_for_ever_is_refused_soon():
    """Every order fits the net but for its end: there are 12! of them."""
    net = net_layers(parse_net("input 4x4x4 [conv3-4]*24 conv3-5 gap fc-3"))
    letters = "abcdefghijkl"
    shapes = {}
    for letter in letters:
        for number in (1, 2):
            shapes |= {
                f"{letter}{number}.weight": (4, 4, 3, 3),
                f"{letter}{number}.bias": (4,),
            }
    shapes |= {"z.weight": (3, 4), "z.bias": (3,)}
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"'z.weight' is \[3, 4\].* conv25 "):
        match(net, stored_layers(shapes), "file")
    assert time.monotonic() - begun < 20


def test_a_file_of_many_names_at_one_place_is_refused_soon():
    net = net_layers(parse_net("input 4x4x4 [conv3-4]*50 gap fc-3"))
    shapes = {f"{chr(0x4E00 + i)}.weight": (4, 4, 3, 3) for i in range(9_000)}
    begun = time.monotonic()
    with pytest.raises(ModelError):
        match(net, stored_layers(shapes), "file")
    assert time.monotonic() - begun < 20


def test_stored_layers_hold_tensors_without_a_name_of_their_own():
    (layer,) = stored_layers({"weight": (2, 2)})
    assert (layer.name, layer.tensor_name("weight"), layer.kind) == (
        "",
        "weight",
        "fully connected",
    )


def test_net_layers_take_no_memory():
    before = torch.get_rng_state()
    layers = net_layers(parse_net("input 8x8x3 [conv3-2048]*20 gap fc-5"))  # 3 GB of weights
    assert layers[1].tensors["weight"] == (2048, 2048, 3, 3)
    assert torch.equal(torch.get_rng_state(), before)
