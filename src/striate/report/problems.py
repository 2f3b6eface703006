"""The data's problems, grouped by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.report.files import ProblemRecord
from striate.report.wording import plural, shortened

FIRST_PATHS = 6  # shown at once; the next ones unfold
MOST_PATHS = 60
MOST_MESSAGES = 4


@dataclass(frozen=True)
class ProblemGroup:
    """All problems of one kind."""

    kind: str
    size: str
    messages: tuple[str, ...]
    paths: tuple[str, ...]
    more_paths: tuple[str, ...]
    left_out: int


def group_problems(problems: Sequence[ProblemRecord]) -> tuple[ProblemGroup, ...]:
    """The kinds in the order in which they first occur."""
    kinds: dict[str, list[ProblemRecord]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return tuple(_group(kind, members) for kind, members in kinds.items())


def _group(kind: str, members: Sequence[ProblemRecord]) -> ProblemGroup:
    paths = [path for problem in members for path in problem.paths]
    shown = [shortened(path) for path in paths[:MOST_PATHS]]
    messages = dict.fromkeys(problem.message for problem in members if problem.message)
    return ProblemGroup(
        kind=shortened(kind.replace("-", " "), 40).capitalize(),
        size=plural(len(paths), "entry", "entries") if paths else plural(len(members), "finding"),
        messages=tuple(
            shortened(message, 300) for message in list(messages)[:MOST_MESSAGES] if message
        ),
        paths=tuple(shown[:FIRST_PATHS]),
        more_paths=tuple(shown[FIRST_PATHS:]),
        left_out=len(paths) - len(shown),
    )
