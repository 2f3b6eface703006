"""Every error that Striate raises on purpose, each with the exit status of the command line.

An error is one line: what is wrong, where (`path`), and how to mend it (`hint`).
"""


class StriateError(Exception):
    """The root of the tree; catch it to catch all that Striate raises on purpose.

    Args:
        message: What is wrong, as one sentence without a full stop.
        path: The file, folder or setting it is about.
        hint: What to do about it.
    """

    status = 1
    kind = "error"

    def __init__(self, message: str, *, path: object = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.hint = hint

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        hint = "" if self.hint is None else f" ({self.hint})"
        return f"{where}{self.message}{hint}"

    def to_json(self) -> dict[str, dict[str, str | None]]:
        """The document that `--json` prints for this error."""
        return {
            "error": {
                "kind": self.kind,
                "message": self.message,
                "path": self.path,
                "hint": self.hint,
            }
        }


class UsageError(StriateError):
    """A wrong option, argument or setting."""

    status = 2
    kind = "usage"


class NetError(UsageError):
    """A net text that cannot be read, or does not fit its input."""

    kind = "net"


class ExpressionError(UsageError):
    """An expression that cannot be read, or has no value or no derivative where it is asked for."""

    kind = "expression"


class RecipeError(UsageError):
    """A recipe with an unknown name or a value out of range."""

    kind = "recipe"


class BusyError(UsageError):
    """A run folder that another process is writing."""

    kind = "busy"


class DataError(StriateError):
    """Images or labels that cannot be used."""

    status = 3
    kind = "data"


class ModelError(StriateError):
    """A model file that cannot be loaded."""

    status = 4
    kind = "model"


class CheckpointError(ModelError):
    """A checkpoint that is damaged, or belongs to another run."""

    kind = "checkpoint"


class DivergedError(StriateError):
    """A training whose loss stopped being a number, and stayed so after the retries."""

    status = 5
    kind = "diverged"


class ResourceError(StriateError):
    """Too little disk, memory or device memory."""

    status = 6
    kind = "resources"


class InterruptedRunError(StriateError):
    """Training stopped by Ctrl-C, after its state was saved."""

    status = 130
    kind = "interrupted"


class TerminatedRunError(StriateError):
    """Training stopped by SIGTERM, after its state was saved."""

    status = 143
    kind = "terminated"


class StriateWarning(UserWarning):
    """Something that is probably not what was meant, and does not stop the work."""
