"""`striate nets`: the nets that come with Striate."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striate.nets import ZooEntry


WIDE = 200  # columns: from here on the table has room for whole sources


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """List the nets of the zoo: depth, parameters, multiply-adds, year and source.

    Examples:
        striate nets

        striate train photos/ --net resnet18
    """
    from striate.cli.text import print_json
    from striate.nets import zoo_nets

    found = [_described(entry) for entry in zoo_nets()]
    if as_json:
        print_json({"nets": found})
    else:
        _print_table(found)


def _described(entry: ZooEntry) -> dict[str, Any]:
    from striate.nets import parse_net

    summary = parse_net(entry.text).summary()
    return {
        "name": entry.name,
        "title": entry.title,
        "year": entry.year,
        "source": entry.source,
        "input": list(summary.input),
        "depth": summary.depth,
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "net": summary.net,
    }


def _print_table(nets: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Into a file or a pipe the whole source is written, on a narrow terminal the first author.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("net", no_wrap=True, style="bold")
    table.add_column("year", no_wrap=True)
    for title in ("input", "depth", "parameters", "multiply-adds"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("source", style="dim")
    for net in nets:
        table.add_row(
            net["name"],
            str(net["year"]),
            "x".join(map(str, net["input"])),
            str(net["depth"]),
            f"{net['parameters']:,}",
            f"{net['multiply_adds'] / 1e6:,.2f} M",
            Text(_source(net["source"], console.width), no_wrap=True, overflow="ellipsis"),
        )
    console.print(table)


def _source(source: str, width: int) -> str:
    return source if width >= WIDE else re.split(",| and ", source, maxsplit=1)[0]
