"""The command line, one file a command; PyTorch loads only when a command runs."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer

    from striate.errors import StriateError

__all__ = ["main"]

COMMANDS = (
    "train",
    "resume",
    "check",
    "show",
    "evaluate",
    "predict",
    "report",
    "nets",
    "datasets",
    "filter",
    "backprop",
    "check-gradient",
    "bench",
)


def main() -> None:
    """Run the command line, and exit with the status that its errors have."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; an error is one line on standard error."""
    from striate.errors import InterruptedRunError, ResourceError, StriateError

    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    error: StriateError
    try:
        status = _run_application(arguments)
        sys.stdout.flush()
        return status
    except StriateError as known:
        error = known
    except KeyboardInterrupt as cause:
        error = InterruptedRunError("interrupted").with_traceback(cause.__traceback__)
    except MemoryError as cause:
        hint = "try a smaller batch_size, or --size"
        error = ResourceError("out of memory", hint=hint).with_traceback(cause.__traceback__)
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away, upon which Typer and Rich raise SystemExit; what is
        # left to flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as cause:
        message = cause.strerror or str(cause)
        error = ResourceError(message, path=cause.filename).with_traceback(cause.__traceback__)
    if debug:
        traceback.print_exception(error)
    _print_error(error, as_json="--json" in arguments)
    return error.status


def application() -> Typer:
    """The commands, as one Typer application."""
    import typer

    app = typer.Typer(
        name="striate",
        help="From labelled images to a trained, understood and shipped convolutional network.",
        epilog="Every command has --json and --help; --debug shows the traceback of an error.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    for name in COMMANDS:
        module = importlib.import_module(f"striate.cli.{name.replace('-', '_')}")
        app.command(name)(module.command)
    return app


def _run_application(arguments: list[str]) -> int:
    import typer

    from striate.errors import UsageError

    warnings.showwarning = _show_warning
    try:
        status = application()(arguments, prog_name="striate", standalone_mode=False)
    except typer.TyperException as error:
        if error.__class__.__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 2
        command = next((argument for argument in arguments if argument in COMMANDS), "")
        hint = f"see: striate {command} --help" if command else "see: striate --help"
        raise UsageError(error.format_message().rstrip("."), hint=hint) from error
    return status if isinstance(status, int) else 0


def _show_warning(
    message: Warning | str, category: type[Warning], *_: object, **__: object
) -> None:
    from striate.errors import StriateWarning

    if issubclass(category, StriateWarning):
        print(f"striate: {message}", file=sys.stderr)


def _print_error(error: StriateError, *, as_json: bool) -> None:
    from striate.cli.text import printable

    if as_json:
        print(json.dumps(error.to_json()))
    # the error of a text has lines of its own: the text, and a caret under the place
    located = error.kind in ("net", "expression")
    lines = str(error).split("\n") if located else [str(error)]
    print("striate: " + "\n".join(map(printable, lines)), file=sys.stderr)
