"""`striate datasets`: what can be named instead of a path."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """List the data sets that have a name, and where this machine has them.

    Examples:
        striate datasets

        striate train mnist
    """
    from striate.cli.text import print_json
    from striate.data import find_named_sets

    found = find_named_sets()
    if as_json:
        print_json({"datasets": [entry.to_json() for entry in found]})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("images", justify="right")
    table.add_column("size", no_wrap=True)
    table.add_column("classes", justify="right")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    for entry in found:
        named = entry.named
        size = " x ".join(map(str, named.size))
        row = (named.name, f"{named.images:,}", size, str(named.classes), named.title)
        table.add_row(*row, Text(entry.where))
    Console(highlight=False).print(table)
