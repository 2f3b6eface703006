import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.report.wording import (
    DASH,
    duration,
    listed,
    moment,
    number,
    percent,
    printable,
    quoted,
    shortened,
    with_code,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too


@given(ANY_TEXT)
@settings(deadline=None)
def test_printable_text_can_be_encoded_and_hides_nothing(text: str) -> None:
    shown = printable(text)
    shown.encode()
    hidden = {unicodedata.category(c) for c in shown if c != "\u200d"}
    assert not hidden & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


def test_printable_shows_bytes_and_direction_tricks_as_escapes() -> None:
    assert printable("a\x1b[2J\udcffb\u202egpj.exe") == "a\\x1b[2J\\xffb\\u202egpj.exe"
    assert printable("👩\u200d🌾 ü") == "👩\u200d🌾 ü"


@given(ANY_TEXT, st.integers(3, 40))
@settings(deadline=None)
def test_shortened_names_keep_both_ends(name: str, limit: int) -> None:
    shown = shortened(name, limit)
    assert len(shown) <= limit
    if len(printable(name)) > limit:
        assert printable(name).startswith(shown.split("…")[0])
        assert printable(name).endswith(shown.rsplit("…", 1)[1])


@given(st.floats(0, 1))
@settings(deadline=None)
def test_a_percentage_is_whole_only_if_the_share_is(share: float) -> None:
    text = percent(share)
    assert (text == "100\u00a0%") == (share == 1)
    assert (text == "0\u00a0%") == (share == 0)


def test_shares_too_near_the_ends_for_decimals() -> None:
    assert percent(1e-9) == "under 0.0001\u00a0%"
    assert percent(1 - 1e-9) == "over 99.9999\u00a0%"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_no_figure_is_a_dash(value: float | None) -> None:
    assert percent(value) == DASH
    assert number(value) == DASH


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (3599.7, "1 h"),
        (120, "2 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == text


def test_lists_read_as_in_a_sentence() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"


def test_a_stamp_that_is_none_is_shown_as_it_is() -> None:
    assert moment("yesterday\n") == "yesterday\\x0a"
    assert moment("2025-01-02T03:04:05+01:00") == "2 January 2025, 03:04"


def test_quoted_names_are_cut() -> None:
    assert quoted("cat") == "“cat”"
    assert len(quoted("x" * 500)) == 50


@given(ANY_TEXT)
@settings(deadline=None)
def test_code_marks_never_let_html_through(text: str) -> None:
    html = str(with_code(text)).replace("<code>", "").replace("</code>", "")
    assert "<" not in html
    assert ">" not in html
