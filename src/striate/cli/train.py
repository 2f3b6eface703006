"""`striate train`: from labelled images to a trained, reported, saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.loading import loading
from striate.errors import UsageError

EXAMPLES = """
Examples:

    striate train digits

    striate train photos/ --size 96 --epochs 40

    striate train cifar10 --epochs 8 --validation 0 --set augment.cutout=8

    striate train cifar10 --workers 2

    striate train photos/ --net "[conv3-32 relu maxpool2]*4 gap fc-5" --recipe lecture

    striate train photos/ --weights hf:timm/resnet50.a1_in1k --size 128 --freeze 2
"""


def command(
    data: Annotated[str, typer.Argument(help="Folder, CSV, .npz, or the name of a data set")],
    net: Annotated[str, typer.Option(help="Net text, name or file")] = "auto",
    recipe: Annotated[
        str, typer.Option(help="Recipe name or TOML file; auto: fast, or finetune with --weights")
    ] = "auto",
    weights: Annotated[
        str | None,
        typer.Option(help="Start from a safetensors file, or hf:OWNER/NAME[@REVISION] on the hub"),
    ] = None,
    freeze: Annotated[
        int | None, typer.Option(help="Stages that keep the weights they start from")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One field of the recipe, as optimizer.lr=0.1; may be repeated"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times each image is seen")] = None,
    time: Annotated[
        str | None, typer.Option(help="Train at most this long, as 90s, 10m or 1h30m")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels that images are brought to")
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of the training images kept for validation")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share kept for the test where the source has none")
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also take files outside that links lead to")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another run")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that share each batch; on GPUs, one each")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; runs/NAME-N if not given")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Train a net on labelled images: check, split, train, evaluate, report, save."""
    with loading():
        from striate.jobs.train import train

    from striate.cli.results import print_run
    from striate.cli.terminal import TerminalEvents
    from striate.cli.text import print_json
    from striate.training.processes import is_follower

    chosen = read_settings(settings or [])
    named = {
        "epochs": epochs,
        "workers": workers,
        "transfer.weights": weights,
        "transfer.freeze": freeze,
        "stop.seconds": None if time is None else read_duration(time),
        "data.size": size,
        "data.validation": validation,
        "data.test": test,
        "data.follow_links": True if follow_links else None,
    }
    for name, value in named.items():
        if value is not None and name in chosen:
            plain = name.removeprefix("data.").removeprefix("transfer.").replace("_", "-")
            option = "time" if name == "stop.seconds" else plain
            hint = "give one of them"
            raise UsageError(f"--{option} and --set {name}=... are the same setting", hint=hint)
    chosen |= {name: value for name, value in named.items() if value is not None}
    with TerminalEvents() as events:
        run = train(
            data,
            net=net,
            recipe=recipe,
            seed=seed,
            device=device,
            out=out,
            events=events,
            settings=chosen,
        )
    if is_follower():
        return
    if as_json:
        print_json(run.to_json())
    else:
        print_run(run)


command.__doc__ = f"{command.__doc__}\n{EXAMPLES}"


def read_settings(pairs: list[str]) -> dict[str, object]:
    """The fields of `--set NAME=VALUE` options.

    Raises:
        UsageError: If there is no "=", or a name comes twice.
    """
    settings: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {pair!r} is not NAME=VALUE", hint="as --set optimizer.lr=0.1")
        if name.strip() in settings:
            raise UsageError(f"--set {name.strip()} is given twice")
        settings[name.strip()] = value.strip()
    return settings


def read_duration(text: str) -> float:
    """Seconds of a text such as 90s, 10m, 1h30m or 45.

    Raises:
        UsageError: If it is no such text, or not more than 0.

    Examples:
        >>> [read_duration(text) for text in ("45", "90s", "10m", "1h30m")]
        [45.0, 90.0, 600.0, 5400.0]
    """
    import re

    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"(?:(\d+)h)?(?:(\d+)m)?(?:{number}s)?|{number}", text.strip())
    hours, minutes, seconds, alone = map(float, match.groups("0") if match else "0000")
    seconds += hours * 3600 + minutes * 60 + alone
    if seconds <= 0:
        raise UsageError(f"--time {text!r} is no length of time", hint="write 90s, 10m or 1h30m")
    return seconds
