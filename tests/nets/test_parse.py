"""Texts to canonical texts, and wrong texts to errors that show the place."""

import pytest

from striate.errors import NetError
from striate.nets import parse_net
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
