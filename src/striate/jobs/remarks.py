"""What a training says of its data before it begins."""

from __future__ import annotations

from collections.abc import Mapping

from striate.data import TEST, TRAIN, VALIDATION, Data, Problem
from striate.data.assemble import BAD_KINDS

MOST_LINES = 8


def describe_problems(data: Data) -> list[str]:
    """A line for each kind of problem, the worst kinds first, with its count and its first path."""
    kinds: dict[str, list[Problem]] = {}
    for problem in data.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    lines = [_line(kind, found) for kind, found in kinds.items()]
    if len(lines) > MOST_LINES:
        more = f"{len(lines) - MOST_LINES + 1} more kinds of problems (see striate check)"
        lines[MOST_LINES - 1 :] = [more]
    return lines


def _line(kind: str, found: list[Problem]) -> str:
    first = found[0]
    where = f", the first is {first.paths[0]}" if first.paths else ""
    if kind in BAD_KINDS:
        files = "file is" if len(found) == 1 else "files are"
        return f"{len(found):,} {kind} {files} left out{where}: {first.message} (see striate check)"
    times = f" {len(found):,} times" if len(found) > 1 else ""
    return f"{kind}{times}: {first.message}{where} (see striate check)"


def describe_split(before: Data, after: Data, *, given: Mapping[str, object]) -> list[str]:
    """Where the split is another one than was asked for, or than the source names.

    Args:
        before: The images, split as the source names it.
        after: The same images, all of them with a split.
        given: The fields of the recipe that were asked for, dotted or as a section.
    """
    section = given.get("data")
    fields = section if isinstance(section, Mapping) else {}
    notes = [
        f"--{name} (data.{name}) has no effect: the source names its {name} images"
        for name, code in (("test", TEST), ("validation", VALIDATION))
        if (f"data.{name}" in given or name in fields) and len(before.indices(code))
    ]
    moved = int(((before.splits == TRAIN) & (after.splits == TEST)).sum())
    if moved:
        notes.append(
            f"the source names no test images: {moved:,} of its training images are kept for the "
            "test (--test 0 keeps none)"
        )
    return notes
