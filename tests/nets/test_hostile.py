"""Texts made to exhaust the machine end in an error, or in a net, within a second and 200 MB."""

import time
import tracemalloc
from contextlib import suppress

import pytest

from striate.errors import NetError
from striate.nets import parse_net

DOUBLING = "\n".join(
    ["a = relu relu", *(f"{chr(98 + i)} = {chr(97 + i)} {chr(97 + i)}" for i in range(24)), "y"]
)
HOSTILE = {
    "too long": "relu " * 20_000,
    "many words": "ln " * 6_500,
    "many words that differ": " ".join(f"conv3-{i}" for i in range(1, 2_000)),
    "many groups": "[relu]" * 3_300,
    "many branches": "(skip+skip)" * 1_800,
    "one wide join": "(relu" + "|relu" * 3_900 + ")",
    "deep brackets": "[" * 19_000,
    "deep repeats": "[" * 32 + "relu" + "]*2" * 32,
    "large repeats": "[[[[relu]*9999]*9999]*9999]*9999",
    "repeats of branches": "[(skip|skip)]*9000",
    "doubling definitions": DOUBLING,
    "deep joins": "(skip | conv1-9 " * 31 + "relu" + ")" * 31,
    "deep definitions": "\n".join(f"{'a' * i} = {'a' * (i + 1)}" for i in range(1, 39)) + "\na",
    "repeats by parameter": "a(n) = [[[relu]*n]*n]*n\na(9999)",
    "many definitions": "\n".join(f"n{i} = relu" for i in range(1_200)) + "\nn1",
    "many parameters": "a(" + ", ".join("n" * i for i in range(1, 150)) + ") = relu\na",
    "closing brackets": "]" * 19_000,
    "equals": "= " * 9_000,
    "commas": "a(" + "," * 19_000 + ")",
    "newlines": "\n" * 19_000 + "relu",
    "a comment": "#" * 19_000,
    "digits": "conv3-" + "9" * 19_000,
    "a repeat of digits": "[relu]*" + "9" * 19_000,
    "zero bytes": "\0" * 1_000,
    "other scripts": "\u0440\u0435\u043b\u0443 " * 1_000,
    "surrogates": "\udcff relu",
    "large input": "input 999999x999999x999999 conv3-9999999 [nearest1000]*9 fc-9",
}


@pytest.fixture(autouse=True)
def _grammars_are_built() -> None:
    parse_net("relu")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_bounded_in_time_and_message(name: str) -> None:
    message = ""
    start = time.process_time()
    try:
        parse_net(HOSTILE[name]).summary((32, 32, 3))
    except NetError as error:
        message = str(error)
    assert time.process_time() - start < 1.0
    assert len(message) < 1_000


LARGEST = ("many words that differ", "many branches", "repeats of branches", "newlines")


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_texts_are_bounded_in_memory(name: str) -> None:
    tracemalloc.start()
    with suppress(NetError):
        parse_net(HOSTILE[name]).summary((32, 32, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


def test_a_canonical_text_that_would_not_parse_back_is_an_error() -> None:
    with pytest.raises(NetError, match="a net of .* characters; the limit is"):
        parse_net("(skip|skip)" * 1_700)


def test_a_net_too_large_to_build_is_an_error() -> None:
    with pytest.raises(NetError, match="weights are too many to build"):
        parse_net("fc-9999999 fc-9999999").build((224, 224, 3))
    with pytest.raises(NetError, match="too large to build"):
        parse_net("[nearest99]*2 gap fc-2").build((32, 32, 3))
    with pytest.raises(NetError, match="values for one image are too many"):
        parse_net("[nearest9999]*4").summary((32, 32, 3))
