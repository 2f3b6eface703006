"""`striate report`: writes the report of a run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="The run folder")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Write report.html of a run anew, from the files that the run left.

    Examples:
        striate report runs/digits-1
    """
    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json, printable
    from striate.jobs.report import rebuild_report

    with TerminalEvents() as events:
        written = rebuild_report(run, progress=events.stored)
    if as_json:
        print_json({"run": str(run), "report": str(written)})
    else:
        print(printable(str(written)))
