"""Texts to canonical texts, and wrong texts to errors that show the place."""

import pytest

from striate.errors import NetError
from striate.nets import LocatedNetError, parse_net
from striate.nets.graph import Parallel, Step, steps

RESNET50 = """
input 224x224x3
unit(n, m)    = (conv1-n bn relu conv3-n bn relu conv1-m bn + skip) relu
down(n, m, s) = (conv1-n bn relu conv3-n/s bn relu conv1-m bn + conv1-m/s bn) relu
conv7-64/2 bn relu maxpool3/2p1
down(64, 256, 1) [unit(64, 256)]*2   down(128, 512, 2) [unit(128, 512)]*3
down(256, 1024, 2) [unit(256, 1024)]*5   down(512, 2048, 2) [unit(512, 2048)]*2
gap fc-1000
"""


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("[[conv3-64 relu]*2 maxpool2]*2 fc-10", "[[conv3-64 relu]*2 maxpool2]*2 fc-10"),
        ("  conv3x3-8/1\n\n relu # and so on\n fc-10\n", "conv3-8 relu fc-10"),
        ("input  32x32x3 fc-10", "input 32x32x3 fc-10"),
        ("[conv3-8 relu] [relu]*1 fc-2", "conv3-8 relu relu fc-2"),
        ("[relu] * 3", "[relu]*3"),
        ("[\n  relu\n  tanh\n]*2", "[relu tanh]*2"),
        ("(a|b+c)", None),
        ("(conv3-8|skip|conv1-8 relu)", "(conv3-8 | skip | conv1-8 relu)"),
        ("( conv3-3\n + skip ) relu", "(conv3-3 + skip) relu"),
        (
            "stem = conv3-8 relu\nu(n,s) = conv3x3-n/s relu\nstem u(3, 2)",
            "stem = conv3-8 relu\nu(n, s) = conv3-n/s relu\nstem u(3, 2)",
        ),
        ("u(n) = [conv3-n]*n\nu(3)", "u(n) = [conv3-n]*n\nu(3)"),
        ("u(n) = v(n) v(2)\nv(m) = fc-m\nu(4)", "u(n) = v(n) v(2)\nv(m) = fc-m\nu(4)"),
        ("relu\r\nfc-10\r\n", "relu fc-10"),
    ],
)
def test_canonical_text(text: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(NetError):
            parse_net(text)
        return
    net = parse_net(text)
    assert str(net) == net.text == canonical
    again = parse_net(canonical)
    assert again.text == canonical
    assert again.graph == net.graph
    assert again == net


def test_the_designs_resnet50() -> None:
    net = parse_net(RESNET50)
    assert net.input == (224, 224, 3)
    assert net.summary().parameters == 25_557_032
    assert parse_net(net.text).graph == net.graph


def test_repeats_and_definitions_give_layers_of_their_own() -> None:
    net = parse_net("u(n) = conv3-n relu\n[u(4)]*2 u(8)")
    assert [step.name for step in net.graph if isinstance(step, Step)] == [
        "conv1", "relu1", "conv2", "relu2", "conv3", "relu3",
    ]  # fmt: skip
    assert [step.text for step in steps(net.graph)][::2] == ["conv3-4", "conv3-4", "conv3-8"]


def test_branches_are_counted_with_their_layers() -> None:
    net = parse_net("(conv3-4 bn | (conv3-2 + skip)) relu")
    outer, _ = net.graph
    assert isinstance(outer, Parallel)
    assert (outer.name, outer.join) == ("concat1", "concat")
    inner = outer.branches[1][0]
    assert isinstance(inner, Parallel)
    assert (inner.name, inner.branches[1]) == ("add1", ())
    assert [step.name for step in steps(net.graph)] == ["conv1", "bn1", "conv2", "relu1"]


def test_a_convolution_directly_before_batch_normalisation_has_no_bias() -> None:
    text = "c = conv3-4\nconv3-4 bn conv3-4 maxpool2 bn c bn tconv3-4 bn conv3-4b1 bn conv3-4"
    biases = [getattr(step.layer, "bias", None) for step in steps(parse_net(text).graph)]
    assert [bias for bias in biases if bias is not None] == [
        False, True, False, False, True, True,
    ]  # fmt: skip


def test_an_input_may_only_come_first_and_nets_are_texts() -> None:
    with pytest.raises(NetError, match="not int"):
        parse_net(3)  # type: ignore[arg-type]
    with pytest.raises(NetError, match="an empty net"):
        parse_net("  # nothing\n")


# Each wrong text with the whole error that it must give.
WRONG = {
    "conv3-64 cnv3 relu": """\
line 1, column 10: unknown layer `cnv3`
    conv3-64 cnv3 relu
             ^^^^ (did you mean conv3-64 or conv5x3-64/2x1p0x1g2d1b0c?)""",
    "[conv3-64 relu": """\
line 1, column 1: `[` is not closed
    [conv3-64 relu
    ^""",
    "conv3-64 relu]*2": """\
line 1, column 14: `]` closes nothing
    conv3-64 relu]*2
                 ^""",
    "[conv3-64 relu)*2": """\
line 1, column 15: `)` does not close `[`
    [conv3-64 relu)*2
                  ^""",
    "relu conv3 fc-10": """\
line 1, column 6: `conv3` is not complete
    relu conv3 fc-10
         ^^^^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "conv3--5": """\
line 1, column 7: cannot read `-5` in `conv3--5`
    conv3--5
          ^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "conv3-0": """\
line 1, column 7: 0 is out of range
    conv3-0
          ^ (from 1 to 9999999)""",
    "maxpool2b0": """\
line 1, column 1: maxpool has no bias
    maxpool2b0
    ^^^^^^^^^^ (it takes ceil, padding, stride)""",
    "conv3-8/2/2": """\
line 1, column 1: stride is given twice
    conv3-8/2/2
    ^^^^^^^^^^^""",
    "conv3-8 | relu": """\
line 1, column 9: `|` is out of place
    conv3-8 | relu
            ^ (branches stand in parentheses: ( a | b ))""",
    "relu (conv3-3 | conv3-4 + relu)": """\
line 1, column 25: `|` and `+` in the same parentheses
    relu (conv3-3 | conv3-4 + relu)
                            ^ (give one of them parentheses of its own)""",
    "(relu)": """\
line 1, column 1: one branch only
    (relu)
    ^ (( a | b ) concatenates, ( a + b ) adds)""",
    "(relu + )": """\
line 1, column 1: an empty branch
    (relu + )
    ^ (the identity is written skip)""",
    "conv3-6 skip": """\
line 1, column 9: `skip` stands alone in a branch
    conv3-6 skip
            ^^^^ (( conv3-64 + skip ))""",
    "[]*2": """\
line 1, column 1: empty brackets
    []*2
    ^""",
    "[relu]*1000000000": """\
line 1, column 7: a repeat cannot be `1000000000`
    [relu]*1000000000
          ^^^^^^^^^^^ (it is a whole number of at most 7 digits)""",
    "[relu]*0": """\
line 1, column 7: a repeat of 0
    [relu]*0
          ^^ (leave the brackets out)""",
    "[[relu]*9999]*9999": """\
line 1, column 3: more than 10000 layers, written out
    [[relu]*9999]*9999
      ^^^^""",
    "unit(3) relu": """\
line 1, column 1: `unit` is not defined
    unit(3) relu
    ^^^^ (known words: conv local tconv whiten maxpool avgpool l2pool gap fc relu tanh sigmoid \
gelu silu leaky identity softmax bn ln lrn dropout nearest nails unpool reshape code scale skip \
input)""",
    "relu(3)": """\
line 1, column 1: `relu` is a layer and takes no arguments
    relu(3)
    ^^^^ (put a space before the bracket)""",
    "a = b\nb = relu a\na": """\
line 2, column 10: `a` is defined by itself
    b = relu a
             ^""",
    "u(n, s) = conv3-n/s\nu(3)": """\
line 2, column 1: `u` takes 2 arguments, not 1
    u(3)
    ^ (it is u(n, s))""",
    "u(n) = conv3-n/q\nu(3)": """\
line 1, column 8: cannot read `q` in `conv3-n/q`
    u(n) = conv3-n/q
           ^^^^^^^^^ (written as conv3-64 or conv5x3-64/2x1p0x1g2d1b0c)""",
    "u(n) = conv3-n\nu(0)": """\
line 1, column 8: 0 is out of range (in u(0))
    u(n) = conv3-n
           ^^^^^^^ (from 1 to 9999999)""",
    "relu = tanh\nrelu": """\
line 1, column 1: `relu` is a layer already
    relu = tanh
    ^^^^ (a definition: unit(n, s) = conv3-n/s relu)""",
    "a = relu\na = tanh\na": """\
line 2, column 1: `a` is defined twice
    a = tanh
    ^""",
    "u(N) = relu\nu(3)": """\
line 1, column 1: `N` cannot be a parameter
    u(N) = relu
    ^ (parameters are small letters, each one once)""",
    "relu a = tanh": """\
line 1, column 8: `=` is out of place
    relu a = tanh
           ^ (a definition has a line of its own: name(n) = conv3-n relu)""",
    "a =\nrelu": """\
line 1, column 4: the end of the line is out of place
    a =
       ^ (a definition stands on one line)""",
    "u(n) = relu\nu(": """\
line 2, column 2: `(` is not closed
    u(
     ^""",
    "u(n) = relu\nu(x)": """\
line 2, column 3: an argument cannot be `x`
    u(x)
      ^ (it is a whole number of at most 7 digits)""",
    "input 3x3 relu": """\
line 1, column 7: `3x3` is not an input volume
    input 3x3 relu
          ^^^ (height x width x channels: input 32x32x3)""",
    "relu input 3x3x3": """\
line 1, column 12: `input` may only stand at the start of the net
    relu input 3x3x3
               ^^^^^""",
    "input": """\
line 1, column 5: the end is out of place
    input
        ^""",
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_name_the_place_and_the_way_out(text: str) -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net(text)
    assert str(error.value) == WRONG[text]


def test_an_error_knows_its_line_and_column() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("relu\nfc-3\n  cnv3-3")
    assert (error.value.line, error.value.column) == (3, 3)
    assert error.value.status == 2
    assert error.value.kind == "net"


def test_a_long_line_is_shown_around_the_caret() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("relu " * 60 + "rleu" + " relu" * 60)
    message, shown, caret = str(error.value).split(" (did")[0].split("\n")
    assert len(shown) <= 94
    assert shown[caret.index("^") :].startswith("rleu")
    assert "column 301" in message


def test_an_error_holds_no_control_characters() -> None:
    with pytest.raises(LocatedNetError) as error:
        parse_net("\x1b[31mrelu")
    assert "\x1b" not in str(error.value)
