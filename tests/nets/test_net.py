"""Nets by name, file and text; for other classes and other images."""

from pathlib import Path

import pytest

from striate.errors import NetError
from striate.nets import LocatedNetError, load_net, parse_net


def test_a_net_by_name_text_and_object() -> None:
    assert load_net("lenet5").input == (32, 32, 1)
    assert load_net(" vgg16 ").text == load_net("vgg16").text
    net = load_net("conv3-8 relu fc-2")
    assert load_net(net) is net
    assert load_net("relu").text == "relu"


def test_a_net_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "small.net"
    file.write_text("# mine\nconv3-8 relu\nfc-2\n", encoding="utf-8")
    assert load_net(file).text == load_net(str(file)).text == "conv3-8 relu fc-2"


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"none\.net: cannot be read"):
        load_net(tmp_path / "none.net")
    file = tmp_path / "bad.net"
    file.write_text("conv3-8\nrleu\n", encoding="utf-8")
    with pytest.raises(LocatedNetError, match=r"bad\.net: line 2, column 1: unknown") as error:
        load_net(file)
    assert error.value.path == str(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NetError, match="not a text in UTF-8"):
        load_net(file)
    file.write_text("#" * 1_000_001, encoding="utf-8")
    with pytest.raises(NetError, match="more than 1 MB"):
        load_net(file)
    with pytest.raises(NetError, match="cannot be read"):
        load_net(tmp_path / "folder.net" / "..")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv3-8 relu fc-10", "conv3-8 relu fc-3"),
        ("fc-10b0 scale1/256", "fc-3b0 scale1/256"),
        ("fc-9 relu fc-10 softmax", "fc-9 relu fc-3 softmax"),
        ("u(n) = fc-n relu\ninput", None),
        ("conv3-8 gap", None),
        ("fc-9 [fc-10]*2", None),
        ("fc-9 (fc-10 + fc-10)", None),
        ("u(n) = fc-n\nrelu u(10)", None),
    ],
)
def test_with_classes(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(NetError):
            parse_net(text).with_classes(3)
    else:
        assert parse_net(text).with_classes(3).text == expected
        assert parse_net(text).summary((4, 4, 1), classes=3).layers[-1].output == (1, 1, 3)


def test_with_classes_needs_a_class() -> None:
    with pytest.raises(NetError, match="0 classes"):
        parse_net("fc-10").with_classes(0)


def test_with_input() -> None:
    net = parse_net("input 4x4x1 fc-2")
    assert net.with_input((5, 6, 3)).text == "input 5x6x3 fc-2"
    assert net.with_input((4, 4, 1)) is net
    assert parse_net("fc-2").with_input((5, 6, 3)).input == (5, 6, 3)


def test_nets_are_values() -> None:
    assert parse_net("conv3x3-8") == parse_net(" conv3-8 # same")
    assert len({parse_net("relu"), parse_net("relu"), parse_net("tanh")}) == 2
    assert repr(parse_net("relu")) == "Net(text='relu', input=None)"
