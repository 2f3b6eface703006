"""Backpropagation through an expression, told step by step as deck 001 tells it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.errors import ExpressionError, UsageError
from striate.explanation.rules import is_number, number, plus
from striate.explanation.steps import Edge, Step, compute, in_backward_order
from striate.reference import gradients


@dataclass(frozen=True)
class Derivation:
    """An expression with all its values, and the derivative of its result to each of them.

    Print it to read how they come about.

    Attributes:
        expression: The text.
        steps: Every node of the computation graph: the variables, what is made of them, and last
            the result.
        derivatives: The derivative of the result to each node, by its name.
    """

    expression: str
    steps: tuple[Step, ...] = field(repr=False)
    derivatives: dict[str, float]

    @classmethod
    def of(cls, expression: str, at: Mapping[str, float]) -> Derivation:
        """Compute an expression, and differentiate it.

        Raises:
            ExpressionError: With a caret, where the text cannot be read, a variable has no value,
                or a step has no finite value or derivative.
            UsageError: If `at` gives something that is not a number, or is not used.
        """
        for name, value in at.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"the value of `{name}` is {value!r}, not a finite number")
        steps = compute(expression, {name: float(value) for name, value in at.items()})
        with np.errstate(all="ignore"):  # what is not finite is refused below
            found = gradients(steps[-1].node)
        derivatives = {step.name: float(found.get(step.node, np.zeros(()))) for step in steps}
        too_large = next((n for n, slope in derivatives.items() if not math.isfinite(slope)), None)
        if too_large is not None:
            raise ExpressionError(f"the derivative to `{too_large}` is too large for a number")
        return cls(expression, steps, derivatives)

    @property
    def result(self) -> Step:
        """The last step, which is differentiated."""
        return self.steps[-1]

    def forward(self) -> list[str]:
        """The values in words: `q = x + y = -2 + 5 = 3`."""
        given = [f"{step.name} = {number(step.value)}" for step in self.steps if not step.edges]
        made = [
            _equal(step.name, step.text, step.numbers, number(step.value))
            for step in self.steps
            if step.edges
        ]
        return [", ".join(given), *made]

    def backward(self) -> list[str]:
        """The derivatives in words, from the result back: `df/dx = df/dq * dq/dx = -4 * 1 = -4`."""
        reached = in_backward_order(self.result)
        lines = [line for step in reached for line in self._chain_rule(step, reached)]
        beside = [step for step in self.steps if step not in reached]
        return lines + [
            f"{self._to(step)} = 0, as {self.result.name} is without it" for step in beside
        ]

    def table(self) -> list[tuple[str, str, str]]:
        """The graph as a tree under the result: each node, its value, and the derivative to it.

        The first row is the head; the cells of a column have the same width.
        """
        rows = [("graph", "value", f"d{self.result.name}/d(node)")]
        seen: set[Step] = set()

        def draw(step: Step, first: str, rest: str) -> None:
            again = step in seen and bool(step.edges)
            seen.add(step)
            text = f"{step.name}, as above" if again else _equal(step.name, step.text)
            slope = number(self.derivatives[step.name])
            rows.append((first + text, number(step.value), slope))
            sources = [] if again else [edge.source for edge in step.edges]
            for place, source in enumerate(sources, start=1):
                last = place == len(sources)
                draw(source, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))

        draw(self.result, "", "")
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return [(a.ljust(widths[0]), b.rjust(widths[1]), c.rjust(widths[2])) for a, b, c in rows]

    def to_json(self) -> dict[str, Any]:
        """The document that `striate backprop --json` prints."""
        return {
            "expression": self.expression,
            "result": self.result.name,
            "value": self.result.value,
            "nodes": [
                {
                    "name": step.name,
                    "operation": step.text or None,
                    "inputs": [edge.source.name for edge in step.edges],
                    "value": step.value,
                    "derivative": self.derivatives[step.name],
                }
                for step in self.steps
            ],
            "forward": self.forward(),
            "backward": self.backward(),
        }

    def __str__(self) -> str:
        """What `striate backprop` prints."""
        parts = [["forward", *_indented(self.forward())], ["backward", *_indented(self.backward())]]
        parts.append(["  ".join(row) for row in self.table()])
        return "\n\n".join("\n".join(part) for part in parts)

    def _to(self, step: Step) -> str:
        return f"d{self.result.name}/d{step.name}"

    def _chain_rule(self, step: Step, reached: list[Step]) -> Iterator[str]:
        """How the derivative to one step comes from those to what was made of it."""
        if step is self.result:
            yield f"{self._to(step)} = 1"
            return
        uses = [(user, edge) for user in reached for edge in user.edges if edge.source is step]
        if len(uses) == 1 and uses[0][0] is self.result:
            yield _local(*uses[0])
            return
        for user, edge in uses:
            if user is not self.result and (edge.because or not is_number(edge.text)):
                yield _local(user, edge)
        symbols, products = zip(*(self._term(*use) for use in uses), strict=True)
        total = number(self.derivatives[step.name])
        yield _equal(self._to(step), plus(*symbols), plus(*products), total)

    def _term(self, user: Step, edge: Edge) -> tuple[str, str]:
        """What comes through one use, in symbols and in numbers; the result itself moves by 1."""
        if user is self.result:
            return edge.text, number(edge.slope)
        symbols = f"{self._to(user)} * d{user.name}/d{edge.source.name}"
        slopes = number(self.derivatives[user.name]), number(edge.slope, inside=True)
        return symbols, " * ".join(slopes)


def _local(user: Step, edge: Edge) -> str:
    """The derivative of a step to one of its inputs: `ds/dr = s * (1 - s) = ... = 0.235`."""
    line = _equal(f"d{user.name}/d{edge.source.name}", edge.text, edge.numbers, number(edge.slope))
    return f"{line}, since {edge.because}" if edge.because else line


def _equal(*parts: str) -> str:
    """`a = b = c`, each said once."""
    return " = ".join(dict.fromkeys(part for part in parts if part))


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
