"""What is wrong, or worth knowing, about a data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One finding of the check.

    Args:
        kind: One of the kinds listed in `docs/data.md`, such as "truncated" or "duplicate".
        paths: The escaped names of the images it is about; empty where it is about a whole class.
        message: One sentence without a full stop.
    """

    kind: str
    paths: tuple[str, ...]
    message: str

    def to_json(self) -> dict[str, object]:
        """The entry of the `problems` list of `check --json`."""
        return {"kind": self.kind, "paths": list(self.paths), "message": self.message}
