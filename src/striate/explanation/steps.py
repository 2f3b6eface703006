"""An expression computed step by step: a graph whose nodes have names, and derivatives in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, count

import numpy as np

from striate.errors import ExpressionError, UsageError
from striate.explanation.expression import (
    Apply,
    Expression,
    Name,
    Number,
    Statement,
    failure,
    parse_expression,
)
from striate.explanation.rules import RULES, Rule, filled, number, plus
from striate.nets.source import Place
from striate.reference import Node, variable
from striate.reference.graph import as_node, elementwise

INNER_NAMES = "qrstuvwp"  # q is what deck 001 calls the step inside
RESULT_NAMES = "fghl"


@dataclass(frozen=True, eq=False)
class Edge:
    """How a step depends on one of its inputs.

    Attributes:
        source: The input.
        slope: The derivative of the step to it, if nothing else changes.
        text: The same as a formula: "z", "1 / x".
        numbers: The formula with the values in it.
        because: Where the formula holds for some values only: "x > 0".
    """

    source: Step
    slope: float
    text: str
    numbers: str
    because: str = ""


@dataclass(frozen=True, eq=False)
class Step:
    """A node of the graph, with what is said of it.

    Attributes:
        name: "q".
        node: Its value, and how it was made.
        text: "x + y", or "" for a variable.
        numbers: The same with the values of the inputs: "-2 + 5".
        edges: Its inputs, those that are numbers left out.
    """

    name: str
    node: Node
    text: str = ""
    numbers: str = ""
    edges: tuple[Edge, ...] = ()

    @property
    def value(self) -> float:
        """As an ordinary number."""
        return float(self.node.value)


Operand = Step | float


def compute(source: str, at: Mapping[str, float]) -> tuple[Step, ...]:
    """Every step of an expression, first the variables, then what is made of them; last the result.

    Args:
        source: The text.
        at: The values of the variables.

    Raises:
        ExpressionError: With a caret, where the text cannot be read, a variable has no value, or a
            step has no finite value or derivative.
        UsageError: If a value is not used.
    """
    statements = parse_expression(source)
    computation = _Computation(source, dict(at), _names_in(statements))
    *earlier, last = statements
    for statement in earlier:
        computation.define(statement)
    result = computation.define(last, is_result=True)
    unused = [name for name in at if name not in computation.known]
    if unused:
        raise UsageError(f"`{unused[0]}` has a value, but is not in the expression")
    operations = [step for step in computation.operations if step is not result]
    return (*computation.variables, *operations, result)


def _names_in(statements: tuple[Statement, ...]) -> set[str]:
    """Every name in the text."""
    names = {statement.name for statement in statements if statement.name}
    waiting = [statement.expression for statement in statements]
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, Name):
            names.add(expression.text)
        elif isinstance(expression, Apply):
            waiting.extend(expression.operands)
    return names


@dataclass
class _Computation:
    source: str
    given: dict[str, float]
    taken: set[str]
    known: dict[str, Step] = field(default_factory=dict)
    variables: list[Step] = field(default_factory=list)
    operations: list[Step] = field(default_factory=list)

    def fail(self, message: str, place: Place, hint: str | None = None) -> ExpressionError:
        return failure(message, self.source, place, hint)

    def define(self, statement: Statement, *, is_result: bool = False) -> Step:
        name = statement.name
        if name is None and not is_result:
            hint = "give it a name, as in q = x + y"
            raise self.fail("nothing can use this step", statement.place, hint)
        if name in self.known or name in self.given:
            reason = "is defined already" if name in self.known else "has a value already"
            raise self.fail(f"`{name}` {reason}", statement.place)
        name = name or self._fresh(RESULT_NAMES)
        step = self._named(statement.expression, name)
        if is_result and not step.edges:
            message = "there is no variable here, so there is nothing to differentiate"
            raise self.fail(message, statement.expression.place)
        self.known[name] = step
        return step

    def _named(self, expression: Expression, name: str) -> Step:
        operand = self._operand(expression, name)
        if isinstance(operand, Step) and operand.name == name:
            return operand
        if isinstance(operand, Step):  # another name for a step
            node = elementwise("=", operand.node.value, (operand.node, 1.0))
            edge = Edge(operand, 1.0, "1", "1")
            step = Step(name, node, operand.name, number(operand.value), (edge,))
            self.operations.append(step)
            return step
        step = Step(name, variable(operand))
        self.variables.append(step)
        return step

    def _operand(self, expression: Expression, name: str | None = None) -> Operand:
        if isinstance(expression, Number):
            return self._finite(expression.value, "the number", expression.place)
        if isinstance(expression, Name):
            return self._variable(expression)
        operands = [self._operand(operand) for operand in expression.operands]
        step = self._applied(expression, operands, name)
        if isinstance(step, Step):
            self.operations.append(step)
        return step

    def _variable(self, name: Name) -> Step:
        if name.text not in self.known:
            if name.text not in self.given:
                hint = f"give it one, as in {name.text}=2"
                raise self.fail(f"`{name.text}` has no value", name.place, hint)
            step = Step(name.text, variable(self.given[name.text]))
            self.known[name.text] = step
            self.variables.append(step)
        return self.known[name.text]

    def _applied(self, expression: Apply, operands: list[Operand], name: str | None) -> Operand:
        """The step; or its value alone, where all operands are numbers."""
        rule = _rule(expression.operation, operands)
        node, slopes = _differentiated(rule, operands)
        numbers = filled(rule.text, _values(operands), "")
        value = self._finite(float(node.value), numbers, expression.place)
        if not any(isinstance(operand, Step) for operand in operands):
            return value
        name = name or self._fresh(INNER_NAMES)
        edges = _edges(rule, operands, slopes, (name, value))
        for edge in edges:
            what = f"the derivative of {numbers} to `{edge.source.name}`"
            self._finite(edge.slope, what, expression.place)
        return Step(name, node, filled(rule.text, _names(operands), name), numbers, edges)

    def _finite(self, value: float, what: str, place: Place) -> float:
        if math.isfinite(value):
            return value
        reason = "is not defined" if math.isnan(value) else "is not a finite number"
        raise self.fail(f"{what} {reason}", place)

    def _fresh(self, letters: str) -> str:
        """A name that the text does not have."""
        numbered = (f"{letters[0]}{place}" for place in count(1))
        name = next(name for name in chain(letters, numbered) if name not in self.taken)
        self.taken.add(name)
        return name


def _rule(operation: str, operands: list[Operand]) -> Rule:
    if operation == "**" and isinstance(operands[1], float):
        return RULES["** number"]
    return RULES[operation]


def _differentiated(rule: Rule, operands: list[Operand]) -> tuple[Node, list[float]]:
    """The node of an operation, and its derivative to each operand; they may not be finite."""
    nodes = [as_node(o.node if isinstance(o, Step) else o) for o in operands]
    # an exponent that is a number stays one: as a node it would need a derivative of its own
    others = _values(operands[1:]) if rule is RULES["** number"] else nodes[1:]
    with np.errstate(all="ignore"):
        node = rule.apply(nodes[0], *others)
        return node, [float(slope) for slope in node.pull(np.ones(()))]


def _edges(
    rule: Rule, operands: list[Operand], slopes: list[float], result: tuple[str, float]
) -> tuple[Edge, ...]:
    """An edge to each step among the operands; to one that stands there twice, both together."""
    names, values = _names(operands), _values(operands)
    name, value = result
    edges: dict[Step, Edge] = {}
    formulas = rule.slopes_at(values)
    for operand, (formula, because), slope in zip(operands, formulas, slopes, strict=False):
        if isinstance(operand, Step):
            text, numbers = filled(formula, names, name), filled(formula, values, value)
            edge = Edge(operand, slope, text, numbers, filled(because, names, name))
            first = edges.get(operand)
            edges[operand] = edge if first is None else _together(first, edge)
    return tuple(edges.values())


def _together(a: Edge, b: Edge) -> Edge:
    text, numbers = plus(a.text, b.text), plus(a.numbers, b.numbers)
    return Edge(a.source, a.slope + b.slope, text, numbers, a.because)


def _values(operands: list[Operand]) -> list[float]:
    return [operand.value if isinstance(operand, Step) else operand for operand in operands]


def _names(operands: list[Operand]) -> list[str | float]:
    return [operand.name if isinstance(operand, Step) else operand for operand in operands]


def in_backward_order(result: Step) -> list[Step]:
    """Every step that the result depends on, the result first: each after all that uses it."""
    uses: dict[Step, int] = {}
    waiting = [result]
    while waiting:
        for edge in waiting.pop().edges:
            if edge.source not in uses:
                waiting.append(edge.source)
            uses[edge.source] = uses.get(edge.source, 0) + 1
    order = [result]
    for step in order:  # it grows as we go
        for edge in step.edges:
            uses[edge.source] -= 1
            if uses[edge.source] == 0:
                order.append(edge.source)
    return order
