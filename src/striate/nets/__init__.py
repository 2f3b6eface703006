"""Nets: notation, graph, shapes and costs, the PyTorch module, the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate.nets.auto import auto_net
from striate.nets.graph import Volume
from striate.nets.net import Net, load_net, parse_net
from striate.nets.source import LocatedNetError
from striate.nets.summary import LayerRow, Summary
from striate.nets.zoo import ZooEntry, zoo_nets

if TYPE_CHECKING:
    from striate.nets.build import NetModule
    from striate.nets.layers import Whiten

__all__ = [
    "LayerRow",
    "LocatedNetError",
    "Net",
    "NetModule",
    "Summary",
    "Volume",
    "Whiten",
    "ZooEntry",
    "auto_net",
    "load_net",
    "parse_net",
    "zoo_nets",
]


def __getattr__(name: str) -> Any:
    # PyTorch is imported when it is asked for: a net's arithmetic and `--help` do not wait for it.
    if name == "NetModule":
        from striate.nets.build import NetModule  # noqa: PLC0415

        return NetModule
    if name == "Whiten":
        from striate.nets.layers import Whiten  # noqa: PLC0415

        return Whiten
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
