"""The nets that come with Striate, one `.net` file each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class ZooEntry:
    """A net of the zoo.

    Attributes:
        name: What `--net` takes.
        title: What people call it.
        year: When it was published.
        source: Where.
        text: The file as it is, comments and all.
    """

    name: str
    title: str
    year: int
    source: str
    text: str


@lru_cache(maxsize=1)
def zoo_nets() -> tuple[ZooEntry, ...]:
    """Every net of the zoo, oldest first."""
    folder = resources.files("striate.nets").joinpath("zoo")
    files = (file for file in folder.iterdir() if file.name.endswith(".net"))
    entries = (
        _entry(file.name.removesuffix(".net"), file.read_text(encoding="utf-8")) for file in files
    )
    return tuple(sorted(entries, key=lambda entry: (entry.year, _natural(entry.name))))


def find_zoo_net(name: str) -> ZooEntry | None:
    """The net of that name, or None."""
    return next((entry for entry in zoo_nets() if entry.name == name), None)


def _entry(name: str, text: str) -> ZooEntry:
    """The first two lines of a file: `# title, year` and `# source`."""
    head = re.match(r"# (.+), (\d{4})\n# (.+)\n", text)
    if head is None:
        raise ValueError(f"{name}.net does not begin with `# title, year` and `# source`")
    return ZooEntry(name, head[1], int(head[2]), head[3], text)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
