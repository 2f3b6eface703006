"""What is wrong, or worth knowing, about a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# From what must be mended to what is merely good to know; `docs/data.md` says what each one means.
KINDS = (
    *("leak", "conflicting-labels", "unreadable", "truncated", "too-large", "too-many-frames"),
    *("vanished", "bad-row", "empty-class", "single-image-class", "imbalance", "unlabelled"),
    *("duplicate", "near-duplicate", "not-searched", "outside-link", "link-loop", "ignored"),
    *("hidden", "transparency", "sixteen-bit", "float", "animated", "exif-rotation"),
)


@dataclass(frozen=True)
class Problem:
    """One finding of the check.

    Args:
        kind: One of `KINDS`.
        paths: The escaped names of the images it is about; empty where it is about a whole class.
        message: One sentence without a full stop.
    """

    kind: str
    paths: tuple[str, ...]
    message: str

    def to_json(self) -> dict[str, object]:
        """The entry of the `problems` list of `check --json`."""
        return {"kind": self.kind, "paths": list(self.paths), "message": self.message}


def by_weight(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort problems by their kind, in the order of `KINDS`."""
    return tuple(sorted(problems, key=lambda problem: KINDS.index(problem.kind)))
