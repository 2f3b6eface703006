"""Bounded JSON: what is refused, and in which words."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import ModelError, UsageError
from striate.model import parse_document, read_document
from striate.model.document import nesting

NESTED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(deadline=None)
@given(st.dictionaries(st.text(), NESTED))
def test_reads_what_json_writes(document):
    text = json.dumps(document)
    assert parse_document(text, max_depth=100) == document
    assert nesting(text) == depth_of(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "object was expected, found list"),
        ("{", "not valid JSON"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        (b'{"\xff": 1}', "not valid JSON"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "nested 41 deep, at most 32"),
        ('{"a":' * 100_000, "nested 100000 deep"),
        ('{"' + "a" * 100 + '": 1}', "at most 100"),
    ],
)
def test_refusals_are_one_line(text, message):
    limit = 100 if "aaaa" in str(text) else 10**6
    with pytest.raises(ModelError, match=message) as caught:
        parse_document(text, path="run.json", max_bytes=limit)
    assert str(caught.value).startswith("run.json: ")
    assert "\n" not in str(caught.value)


def test_a_file_is_read_no_further_than_the_limit(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"a": 1}')
    assert read_document(path) == {"a": 1}
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no disk
    with pytest.raises(ModelError, match="at most"):
        read_document(path)


def test_absent_files_and_folders_are_refused_as_the_caller_says(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="no such file"):
            read_document(path, error=UsageError)
