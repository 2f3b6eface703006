"""Where a figure comes from: what every result file of this folder begins with."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from striate.kernels import processor
from striate.training.machine import describe_machine, describe_versions

FOLDER = Path(__file__).parent


def write_result(name: str, title: str, body: str, *, device: str = "cpu") -> Path:
    """Write `results/<name>-<processor or GPU>-<date>.md`: title, provenance, and the figures.

    Args:
        name: What was measured, as in a file name.
        title: What was measured, in words.
        body: Markdown.
        device: Where.
    """
    machine = describe_machine(torch.device(device))
    operators = {"pytorch": "PyTorch's operators"}.get(processor(), f"operators for {processor()}")
    where = _named(machine)
    kind = re.sub(r"[^a-z0-9]+", "-", where[0].lower()).strip("-")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    path = FOLDER / "results" / f"{name}-{kind}-{date}.md"
    path.parent.mkdir(exist_ok=True)
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    versions = ", ".join(f"{package} {number}" for package, number in describe_versions().items())
    lines = (
        f"# {title}",
        "",
        f"- command: `{shlex.join(['python', script, *map(_portable, sys.argv[1:])])}`",
        f"- machine: {', '.join(where)}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}; {torch.get_num_threads()} threads; "
        f"{operators}",
        f"- versions: {versions}; commit {current_commit()}",
        f"- date: {date}",
        "",
    )
    path.write_text("\n".join(lines) + "\n" + body.strip() + "\n")
    return path


def machine_name(device: str = "cpu") -> str:
    """The GPU, if that is the device, the processor, and for which kind of it the operators are."""
    machine = describe_machine(torch.device(device))
    return ", ".join([*_named(machine), str(machine["kernels"])])


def _named(machine: Mapping[str, object]) -> list[str]:
    return [str(machine[part]) for part in ("gpu", "processor") if part in machine]


def _portable(argument: str) -> str:
    """An argument without the folders of this machine."""
    return Path(argument).name if argument.startswith("/") else argument


def current_commit() -> str:
    """The commit that is checked out, or "unknown"."""
    made = subprocess.run(
        ["git", "-C", str(FOLDER), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stdout.strip() or "unknown"
