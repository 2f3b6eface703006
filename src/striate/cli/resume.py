"""`striate resume`: goes on where a run stopped, to the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.loading import loading


def command(
    run: Annotated[Path, typer.Argument(help="The run folder")],
    device: Annotated[str, typer.Option(help="auto takes the device of the run")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Go on where a run stopped; the weights end up as if it had never stopped.

    Examples:
        striate resume runs/digits-1
    """
    with loading():
        from striate.jobs.resume import resume

    from striate.cli.results import print_run
    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json
    from striate.training.processes import is_follower

    with TerminalEvents() as events:
        finished = resume(run, device=device, events=events)
    if is_follower():
        return
    if as_json:
        print_json(finished.to_json())
    else:
        print_run(finished)
