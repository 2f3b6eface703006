import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import escape_name, unescape_name
from striate.data.names import is_hidden

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)


@settings(deadline=None)
@given(any_text)
def test_escaping_can_be_undone(name: str) -> None:
    assert unescape_name(escape_name(name)) == name


@settings(deadline=None)
@given(any_text)
def test_an_escaped_name_is_one_line_of_utf8(name: str) -> None:
    escaped = escape_name(name)
    assert escaped.encode("utf-8").decode() == escaped
    assert len(escaped.splitlines()) <= 1
    assert "\x1b" not in escaped


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a b.jpg", "a b.jpg"),
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\u001b[2J"),
        (b"\xff\xfe".decode(errors="surrogateescape"), "\\xff\\xfe"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\\b", "a\\\\b"),
        ("👩‍🔬.jpg", "👩‍🔬.jpg"),
        ("<script>", "<script>"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_escaped(name: str, escaped: str) -> None:
    assert escape_name(name) == escaped


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", ".ipynb_checkpoints", "__MACOSX"])
def test_hidden_names(name: str) -> None:
    assert is_hidden(name)


def test_ordinary_names_are_not_hidden() -> None:
    assert not is_hidden("cats")
