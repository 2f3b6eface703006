"""Text for a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.cli.text import format_seconds, print_json, printable


@given(st.text())
def test_what_is_printed_is_printable_and_one_line(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()  # lone surrogates, as in names that are not UTF-8, too


@given(st.text().filter(str.isprintable))
def test_what_is_printable_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (86400, "24 h 00 min"),
    ],
)
def test_lengths_of_time(seconds, text):
    assert format_seconds(seconds) == text


def test_a_document_is_one_line_of_ascii(capsys):
    print_json({"a": "é\n\udcff"})
    assert capsys.readouterr().out == '{"a": "\\u00e9\\n\\udcff"}\n'


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="Out of range"):
        print_json({"a": float("nan")})
