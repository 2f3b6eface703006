"""`striate check`: the data doctor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from striate.data import Check, Problem

SHOWN_PROBLEMS = 5  # of each kind
SHOWN_NAMES = 3  # of each problem
WIDEST_BAR = 24  # characters


def command(
    data: Annotated[str, typer.Argument(help="A folder, a CSV, TSV or .npz file, or a name")],
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also take files outside that links lead to")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Check a data set: unreadable files, duplicates, leaks, conflicting labels, uneven classes.

    Examples:
        striate check photos/

        striate check labels.csv --json
    """
    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json
    from striate.data import check_data

    with TerminalEvents() as events:
        check = check_data(data, follow_links=follow_links, progress=events.stored)
    if as_json:
        print_json(check.to_json())
    else:
        _print_check(check)


def _print_check(check: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    height, width, channels = check.size
    kind = "grey" if channels == 1 else "colour"
    console.print(Text(check.name, "bold"), end="  ")
    console.print(
        f"{check.images:,} {kind} images of {len(check.classes)} classes, "
        f"brought to {height} x {width}",
        soft_wrap=True,
    )
    if set(check.splits) != {"unassigned"}:
        shares = (f"{count:,} {split}" for split, count in check.splits.items())
        console.print("the source splits them: " + ", ".join(shares), soft_wrap=True)
    console.print()
    console.print(_class_table(check))
    _print_problems(console, check.problems)


def _class_table(check: Check) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    table.add_column("")
    largest = max(check.classes.values())
    for name, count in check.classes.items():
        bar = "━" * math.ceil(WIDEST_BAR * count / largest)
        table.add_row(Text(name), f"{count:,}", Text(bar, "cyan"))
    return table


def _print_problems(console: Console, problems: tuple[Problem, ...]) -> None:
    """Print the problems kind by kind, a few of each with a few names."""
    from rich.text import Text

    show = console.print
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    if not kinds:
        show("\nno problems found", style="green")
    for kind, found in kinds.items():
        show()
        show(Text.assemble((kind, "bold yellow"), f"  {len(found):,}" if len(found) > 1 else ""))
        for problem in found[:SHOWN_PROBLEMS]:
            show(_line(problem), soft_wrap=True)
        if len(found) > SHOWN_PROBLEMS:
            show(f"  ... {len(found) - SHOWN_PROBLEMS:,} more (--json lists all)", style="dim")


def _line(problem: Problem) -> Text:
    from rich.text import Text

    names = ", ".join(problem.paths[:SHOWN_NAMES])
    if len(problem.paths) > SHOWN_NAMES:
        names += f", ... {len(problem.paths) - SHOWN_NAMES:,} more"
    return Text.assemble(f"  {problem.message}", (f"  {names}", "dim") if names else "")
