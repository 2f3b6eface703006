"""Expressions step by step: deck 001's example, the words, and numerical differences."""

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import striate
from striate.errors import ExpressionError, UsageError
from striate.explanation import Derivation
from striate.explanation.expression import ARGUMENTS, LONGEST_TEXT, MOST_OPERATIONS


def derive(text, **at):
    return Derivation.of(text, at)


@pytest.mark.parametrize("text", ["q = x + y; f = q * z", "(x + y) * z", "q=x+y\n  f = q*z ;"])
def test_the_example_of_deck_001(text):
    found = derive(text, x=-2, y=5, z=-4)
    assert found.result.value == -12
    assert found.derivatives == {"x": -4, "y": -4, "z": 3, "q": -4, "f": 1}
    assert found.forward() == [
        "x = -2, y = 5, z = -4",
        "q = x + y = -2 + 5 = 3",
        "f = q * z = 3 * (-4) = -12",
    ]
    assert found.backward() == [
        "df/df = 1",
        "df/dq = z = -4",
        "df/dz = q = 3",
        "df/dx = df/dq * dq/dx = -4 * 1 = -4",
        "df/dy = df/dq * dq/dy = -4 * 1 = -4",
    ]


def test_the_graph_is_drawn_under_its_result():
    rows = [tuple(map(str.strip, row)) for row in derive("(x + y) * z", x=-2, y=5, z=-4).table()]
    assert rows == [
        ("graph", "value", "df/d(node)"),
        ("f = q * z", "-12", "1"),
        ("├─ q = x + y", "3", "-4"),
        ("│  ├─ x", "-2", "-4"),
        ("│  └─ y", "5", "-4"),
        ("└─ z", "-4", "3"),
    ]


def test_a_step_that_is_used_twice_is_drawn_once():
    rows = [row[0].rstrip() for row in derive("q = x * y; q + sin(q)", x=1, y=2).table()]
    assert rows[1:] == [
        "f = q + r", "├─ q = x * y", "│  ├─ x", "│  └─ y", "└─ r = sin(q)", "   └─ q, as above",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "at", "lines"),
    [
        ("sigmoid(x)", {"x": 0}, ["df/dx = f * (1 - f) = 0.5 * (1 - 0.5) = 0.25"]),
        ("x**3", {"x": -2}, ["df/dx = 3 * x**2 = 3 * (-2)**2 = 12"]),
        ("x**2", {"x": 3}, ["df/dx = 2 * x = 2 * 3 = 6"]),
        ("1 / x", {"x": 2}, ["df/dx = -1 / x**2 = -1 / 2**2 = -0.25"]),
        ("relu(x)", {"x": -2}, ["df/dx = 0, since x < 0"]),
        ("relu(x)", {"x": 0}, ["df/dx = 0, since x = 0 is a corner, where 0 is the usual choice"]),
        ("abs(x)", {"x": -2}, ["df/dx = -1, since x < 0"]),
        ("abs(x)", {"x": 0}, ["df/dx = 0, since x = 0 is a corner, where 0 is the usual choice"]),
        ("max(x, y)", {"x": 1, "y": 4}, ["df/dx = 0, since x < y", "df/dy = 1, since x < y"]),
        ("min(x, y)", {"x": 1, "y": 4}, ["df/dx = 1, since x < y", "df/dy = 0, since x < y"]),
        ("max(x, 2)", {"x": 2}, ["df/dx = 0.5, since x = 2"]),
        ("x * x", {"x": 3}, ["df/dx = x + x = 3 + 3 = 6"]),
        ("x - x", {"x": 3}, ["df/dx = 1 + (-1) = 0"]),
        ("-x", {"x": 3}, ["df/dx = -1"]),
        ("2**x", {"x": 3}, ["df/dx = f * log(2) = 8 * log(2) = 5.545"]),
        (
            "log(2 * x)",
            {"x": 1},
            ["df/dq = 1 / q = 1 / 2 = 0.5", "df/dx = df/dq * dq/dx = 0.5 * 2 = 1"],
        ),
        (
            "q = x + y; q * x",
            {"x": 2, "y": 3},
            [
                "df/dq = x = 2",
                "df/dx = q + df/dq * dq/dx = 5 + 2 * 1 = 7",
                "df/dy = df/dq * dq/dy = 2 * 1 = 2",
            ],
        ),
        (
            "tanh(x) - 3 * x",
            {"x": 0},
            [
                "df/dq = 1",
                "df/dr = -1",
                "dq/dx = 1 - q**2 = 1 - 0**2 = 1",
                "df/dx = df/dq * dq/dx + df/dr * dr/dx = 1 * 1 + (-1 * 3) = -2",
            ],
        ),
    ],
)
def test_the_chain_rule_in_words(text, at, lines):
    assert Derivation.of(text, at).backward() == ["df/df = 1", *lines]


def test_names_that_are_taken_are_not_given_to_steps():
    found = derive("f * q + exp(r)", f=2, q=3, r=0)
    assert [step.name for step in found.steps] == ["f", "q", "r", "s", "t", "g"]
    many = derive("+".join(f"exp({k} * x)" for k in range(1, 12)), x=0)
    assert len({step.name for step in many.steps}) == len(many.steps) == 33


def test_constants_are_folded_and_names_may_be_given_values_in_the_text():
    found = derive("a = 2 * 3 - 2; x = -1; y = x; a**0.5 * y")
    assert found.derivatives == {"a": -0.25, "x": 2, "y": 2, "q": -1, "f": 1}
    assert "y = x = -1" in found.forward()


def test_a_step_without_a_part_in_the_result():
    found = derive("r = x * y; x + 1", x=2, y=3)
    assert found.derivatives == {"x": 1, "y": 0, "r": 0, "f": 1}
    assert "df/dr = 0, as f is without it" in found.backward()


def test_the_document():
    document = derive("(x + y) * z", x=-2, y=5, z=-4).to_json()
    assert list(document) == ["expression", "result", "value", "nodes", "forward", "backward"]
    assert document["nodes"][3] == {
        "name": "q", "operation": "x + y", "inputs": ["x", "y"], "value": 3.0, "derivative": -4.0,
    }  # fmt: skip
    assert document["nodes"][0]["operation"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"an empty expression \(for instance: \(x \+ y\) \* z\)"),
        ("x +", r"line 1, column 3: the expression is not complete\n    x \+\n      \^"),
        ("(x", r"not complete\n    \(x\n     \^ \(a `\(` is not closed\)"),
        ("x; y +; z", r"line 1, column 7: the expression is not complete here"),
        ("x)", r"column 2: `\)` is out of place"),
        ("(x + y)z", r"column 8: `z` is out of place\n.*\n *\^ \(a product is written with \*"),
        ("2x", r"column 2: `x` is out of place"),
        ("x $ y", r"column 3: `\$` is not part of an expression"),
        ("x.real", r"column 2: `\.` is not part"),
        ("__import__('os')", r"`'` is not part of an expression"),
        ("foo(x)", r"`foo` is not a function\n    foo\(x\)\n    \^\^\^ \(there are exp, log"),
        ("exp(x, y)", r"exp takes 1 argument, not 2"),
        ("max(x)", r"max takes 2 arguments, not 1"),
        ("exp + 1", r"`exp` is a function\n.*\n    \^\^\^ \(write exp\(x\)\)"),
        ("max = 2", r"`max` is a function, so it cannot be a name"),
        ("w * x", r"column 1: `w` has no value\n    w \* x\n    \^ \(give it one, as in w=2\)"),
        ("x + 1; x", r"nothing can use this step\n.*\n    \^+ \(give it a name"),
        ("q = x; q = y; q", r"column 8: `q` is defined already"),
        ("x = 2", r"`x` has a value already"),
        ("2 + 3", r"there is no variable here, so there is nothing to differentiate"),
        ("log(x - 3)", r"column 1: log\(-1\) is not defined\n    log\(x - 3\)\n    \^{10}"),
        ("y + 1 / (x - 2)", r"column 5: 1 / 0 is not a finite number\n.*\n {8}\^{11}$"),
        ("exp(1000 * x)", r"exp\(2000\) is not a finite number"),
        ("9**9**9**9 + x", r"is not a finite number"),
        ("1e999 + x", r"the number is not a finite number"),
        ("sqrt(x - 2)", r"the derivative of sqrt\(0\) to `q` is not a finite number"),
        ("(-x)**y", r"the derivative of \(-2\)\*\*3 to `y` is not defined"),
        ("x" * 21, r"a name of 21 letters; the limit is 20"),
        ("x" + "+x" * MOST_OPERATIONS + "+x", r"101 operations; the limit is 100"),
        ("-" * 1500 + "x", r"1500 operations; the limit is 100"),
        ("x" * (LONGEST_TEXT + 1), r"an expression of 2001 characters; the limit is 2000"),
    ],
)
def test_errors_point_at_their_place(text, message):
    with pytest.raises(ExpressionError, match=message):
        derive(text, x=2, y=3)


def test_brackets_can_be_deep():
    assert derive("(" * 900 + "x" + ")" * 900, x=2).result.value == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, "2", None])
def test_values_are_finite_numbers(value):
    with pytest.raises(UsageError, match="the value of `x` is .*, not a finite number"):
        Derivation.of("x + 1", {"x": value})


def test_a_value_that_is_not_used_is_refused():
    with pytest.raises(UsageError, match="`y` has a value, but is not in the expression"):
        derive("x + 1", x=1, y=2)


def test_a_derivative_that_is_too_large():
    with pytest.raises(ExpressionError, match="the derivative to `x` is too large for a number"):
        derive("1e200 * (1e200 * x)", x=1e-250)


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "z", "0.5", "2", "3e-1"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        st.tuples(inner, st.sampled_from(["2", "3", "-1", "0.5"])).map(
            lambda parts: f"({parts[0]})**{parts[1]}"
        ),
        inner.map(lambda part: f"-({part})"),
        st.tuples(st.sampled_from(sorted(ARGUMENTS)), inner, inner).map(
            lambda parts: f"{parts[0]}({', '.join(parts[1 : 1 + ARGUMENTS[parts[0]]])})"
        ),
    ),
    max_leaves=8,
)


def value_at(text, point):
    names = set(re.findall(r"\b[xyz]\b", text))
    return Derivation.of(text, {name: point[name] for name in names})


@given(text=EXPRESSIONS, numbers=st.tuples(*[st.floats(0.3, 2.5)] * 3))
@settings(deadline=None, max_examples=150)
def test_any_expression_agrees_with_numerical_differences(text, numbers):
    point = dict(zip("xyz", (round(number, 3) for number in numbers), strict=True))
    try:
        found = value_at(text, point)
    except ExpressionError:
        assume(False)
    variables = [step.name for step in found.steps if step.name in point]
    for name in variables:
        try:
            before, after = (
                value_at(text, point | {name: point[name] + step}).result.value
                for step in (-1e-6, 1e-6)
            )
        except ExpressionError:
            assume(False)
        size = max(1.0, abs(found.result.value), abs(found.derivatives[name]))
        left, right = (found.result.value - before) / 1e-6, (after - found.result.value) / 1e-6
        assume(abs(left - right) < 1e-4 * size)  # else a corner, or very steep
        assert found.derivatives[name] == pytest.approx((left + right) / 2, abs=1e-3 * size)
    assert str(found)
    assert all(np.isfinite(value) for value in found.derivatives.values())


@given(st.text("xyq=+-*/^().,;e12 \n", max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_text_is_an_answer_or_an_error(text):
    try:
        answer = str(Derivation.of(text, {}))
    except ExpressionError as error:
        answer = str(error)
    assert 0 < len(answer) < 5000


def test_the_function():
    found = striate.backprop("(x + y) * z", at={"x": -2, "y": 5, "z": -4})
    assert found.derivatives["z"] == 3
    with pytest.raises(ExpressionError, match="`x` has no value"):
        striate.backprop("x * y")
    with pytest.raises(
        UsageError, match=r"an expression has no seed \(give a net its input size\)"
    ):
        striate.backprop("x", at={"x": 1}, seed=1)
