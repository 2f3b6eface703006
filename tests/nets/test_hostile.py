"""Texts made to exhaust the machine end in an error, or in a net, within a second and 200 MB."""

import json
import os
import subprocess
import sys

import pytest

from striate.errors import NetError
from striate.nets import parse_net

DOUBLING = "\n".join(
    ["d0 = relu relu", *(f"d{i} = d{i - 1} d{i - 1}" for i in range(1, 61)), "d60"]
)
HOSTILE = {
    "too long": "relu " * 20_000,
    "many words": "ln " * 6_500,
    "many words that differ": " ".join(f"conv3-{i}" for i in range(1, 2_000)),
    "many groups": "[relu]" * 3_300,
    "many branches": "(skip+skip)" * 1_800,
    "one wide join": "(relu" + "|relu" * 3_900 + ")",
    "deep brackets": "[" * 20_000,
    "pairs of brackets": "[]" * 10_000,
    "deep parentheses": "(" * 20_000,
    "a repeat of 10^9": "[relu]*1000000000",
    "nested repeats of 10^3": "[[[[relu]*1000]*1000]*1000]*1000",
    "deep repeats": "[" * 32 + "relu" + "]*2" * 32,
    "large repeats": "[[[[relu]*9999]*9999]*9999]*9999",
    "repeats of branches": "[(skip|skip)]*9000",
    "doubling definitions": DOUBLING,
    "deep joins": "(skip | conv1-9 " * 31 + "relu" + ")" * 31,
    "joins of joins": "j(n) = (conv1-n | skip)\nk(n) = (j(n) | j(n))\n" + "k(9999999) " * 900,
    "pools, then joins": "[maxpool1]*4999 [(skip|skip)]*1600",
    "pools undone": "[maxpool1]*4999 [unpool1]*4999",
    "a large stem": "input 999x999x3 [conv9-9/9 maxpool2]*900 fc-9",
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
    "numbers": "conv9999999x9999999-9999999/9999999x9999999p9999999x9999999 " * 300,
    "zero bytes": "\0" * 20_000,
    "other scripts": "\u0440\u0435\u043b\u0443 " * 4_000,
    "other digits": "conv\u0663-\u0666\u0664 " * 2_000,
    "combining letters": "a" + "\u0301" * 19_000,
    "surrogates": "\udcff relu",
    "strides": "conv1-1/9999999 " * 1_200,
    "large input": "input 999999x999999x999999 conv3-9999999 [nearest1000]*9 fc-9",
}


# A fresh process without PyTorch forks once for each text, so that each has limits of its own.
WATCHER = """
import json, os, resource, sys, time

from striate.errors import NetError
from striate.nets import parse_net

def attempt(text):
    try:
        net = parse_net(text)
        net.summary((32, 32, 3))
        net.adapted_to((16, 16, 3))
    except NetError as error:
        return str(error)
    return ""

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def watch(text):
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    before, start = peak(), time.process_time()
    message = attempt(text)
    seconds, bytes = time.process_time() - start, peak() - before
    return {"seconds": seconds / slow, "bytes": bytes, "message": message}

def slowness():
    start = time.process_time()
    for number in range(1_000_000):
        pass
    return (time.process_time() - start) / 0.02  # what it took when the limit was set, or so

slow = max(1, *(slowness() for _ in range(3)))
attempt("input 99x99x3 conv3-8 [relu]*2 fc-9")
for name, text in json.load(sys.stdin).items():
    if os.fork() == 0:
        print(json.dumps({"name": name, **watch(text)}), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def watched() -> dict[str, dict[str, float | str]]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    done = subprocess.run(
        [sys.executable, "-c", WATCHER],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["name"]: one for one in found}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_bounded_in_time_memory_and_message(
    name: str, watched: dict[str, dict[str, float | str]]
) -> None:
    assert name in watched, "ended without an answer: at the limit of CPU time or memory"
    one = watched[name]
    assert one["seconds"] < 1
    assert one["bytes"] < 200e6
    assert len(one["message"]) < 1_000


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
