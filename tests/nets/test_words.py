"""One word to its layer and back."""

import pytest

from striate.nets.forms import FORMS, is_word, suggest
from striate.nets.graph import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Full,
    GlobalAverage,
    Pool,
    Reshape,
    Scale,
    TransposedConvolution,
    Unpool,
    Upsample,
    Whiten,
)
from striate.nets.printing import print_layer
from striate.nets.words import WordError, canonical_word, fill_in, parse_word

WORDS = {
    "conv3-64": Convolution((3, 3), 64, padding=(1, 1)),
    "conv5x3-64/2x1p0x1g2d1b0c": Convolution(
        (5, 3), 64, (2, 1), (0, 1), groups=2, bias=False, ceil=True
    ),
    "conv2-8": Convolution((2, 2), 8),
    "conv3-8d2": Convolution((3, 3), 8, padding=(1, 1), dilation=(2, 2)),
    "local3-4p0": Convolution((3, 3), 4, shared=False),
    "tconv3-64/2c": TransposedConvolution((3, 3), 64, (2, 2), (1, 1), ceil=True),
    "whiten2": Whiten((2, 2)),
    "maxpool2": Pool("max", (2, 2), (2, 2)),
    "avgpool3/2p1": Pool("avg", (3, 3), (2, 2), (1, 1)),
    "l2pool3x2/1c": Pool("l2", (3, 2), (1, 1), ceil=True),
    "gap": GlobalAverage(),
    "fc-10": Full(10),
    "fc-10b0": Full(10, bias=False),
    "relu": Activation("relu"),
    "leaky": Activation("leaky"),
    "bn": BatchNorm(),
    "bnw0m0.4e1e-12": BatchNorm(scale=False, momentum=0.4, epsilon=1e-12),
    "dropout0.5": Dropout(0.5),
    "nearest2": Upsample("nearest", (2, 2)),
    "nails2x3": Upsample("nails", (2, 3)),
    "unpool2": Unpool((2, 2)),
    "reshape7x7x32": Reshape(7, 7, 32),
    "scale1/256": Scale(1.0, 256.0),
    "scale0.5": Scale(0.5),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_its_layer(word: str) -> None:
    assert parse_word(word) == WORDS[word]


@pytest.mark.parametrize("word", [*WORDS, "identity", "softmax", "ln", "lrn", "code", "silu"])
def test_the_printed_word_is_the_same_layer(word: str) -> None:
    layer = parse_word(word)
    assert parse_word(print_layer(layer)) == layer


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("conv3x3-64/1p1g1d1", "conv3-64"),
        ("conv05-8p2x2", "conv5-8"),
        ("maxpool2/2p0", "maxpool2"),
        ("bnw1m0.1e0.00001", "bn"),
        ("scale00.50/1", "scale0.5"),
        ("conv3-8b1", "conv3-8b1"),
        ("fc-10b1", "fc-10"),
        ("dropout0", "dropout0"),
    ],
)
def test_one_spelling_for_one_layer(written: str, canonical: str) -> None:
    assert canonical_word(written) == canonical


def test_options_come_in_any_order_and_print_in_one() -> None:
    assert canonical_word("conv3-8cb0g2p0/2") == "conv3-8/2p0g2b0c"


def test_parameters_stand_for_numbers_and_the_longest_name_that_fits_is_taken() -> None:
    assert fill_in("conv3-nb0", {"n": 7, "nb": 9}) == "conv3-7b0"
    assert fill_in("conv3-nb", {"n": 7, "nb": 9}) == "conv3-9"
    assert fill_in("conv3x3-n/sxtp1", {"n": 8, "s": 2, "t": 1}) == "conv3x3-8/2x1p1"
    assert fill_in("scale1/n", {"n": 64}) == "scale1/64"


def test_words_with_parameters_have_one_spelling_too() -> None:
    assert canonical_word("conv3x3-n/1p1", ("n",)) == "conv3-n"
    assert canonical_word("maxpool2xn/2xn", ("n",)) == "maxpool2xn"
    assert canonical_word("conv3-9999999/n", ("n",)) == "conv3-9999999/n"


@pytest.mark.parametrize(
    "word",
    [
        "conv3", "conv-64", "conv3-0", "conv0-3", "conv3-64/0", "conv3--4", "conv3-64/2/2",
        "conv3-99999999", "maxpool", "maxpool2g2", "maxpool2b0", "fc-10/2", "fc-0", "dropout",
        "dropout1", "dropout1.5", "bnm0", "bnm2", "bne0", "bne1e-999", "scale0", "reshape2x2",
        "gap2", "relu6", "whiten", "whiten2p1", "conv3-6q", "conv3-6b2", "conv" + "3" * 200,
    ],
)  # fmt: skip
def test_what_is_not_a_layer_is_an_error(word: str) -> None:
    with pytest.raises(WordError):
        parse_word(word)


def test_an_error_points_into_the_word_and_says_how_it_is_written() -> None:
    with pytest.raises(WordError) as error:
        parse_word("conv3-64/2q")
    assert error.value.message == "cannot read `q` in `conv3-64/2q`"
    assert (error.value.offset, error.value.length) == (10, 1)
    assert error.value.hint == f"written as {FORMS['conv']}"


def test_names_that_begin_like_a_layer_are_told_from_layers() -> None:
    assert is_word("conv3-64")
    assert is_word("relu")
    assert not is_word("convolved")
    assert not is_word("unit")


def test_a_near_word_is_suggested() -> None:
    assert suggest("rleu") == "did you mean relu?"
    assert suggest("unti", ("unit",)) == "did you mean unit?"
    assert (suggest("zzzz") or "").startswith("known words: conv")


def test_only_layers_print() -> None:
    with pytest.raises(TypeError, match="not a layer"):
        print_layer("conv3-64")
