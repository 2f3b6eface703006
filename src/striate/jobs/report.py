"""Makes the report of a run again, from the files that the run left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from striate.data import Data
from striate.errors import UsageError
from striate.jobs.reload import load_again
from striate.model import load_model
from striate.report import write_report
from striate.training.folder import read_run

Progress = Callable[[int, int], None]


def rebuild_report(
    run: str | Path, *, data: Data | None = None, progress: Progress | None = None
) -> Path:
    """Write `report.html` of a finished run anew.

    The figures come from the run's files; its data are read again for the pictures alone.

    Args:
        run: The run folder.
        data: The images, where the run was given arrays; else they are found again by themselves.
        progress: Called with the counts of images read and of all images.

    Returns:
        The path of the report.

    Raises:
        UsageError: If it is no run folder, or was trained on arrays and `data` is not given.
        ModelError: If a file of the run is missing or damaged.
        DataError: If the data cannot be read.
        ResourceError: If the disk is full; the earlier report stays.
    """
    path = Path(run)
    if not (path / "run.json").is_file():
        raise UsageError(
            "is no run folder: it has no run.json",
            path=path,
            hint="name the folder that striate train wrote, such as runs/digits-1",
        )
    model = load_model(path)
    if data is None:
        hint = "use striate.rebuild_report(run, data=...)"
        data = load_again(read_run(path), path=path, hint=hint, progress=progress)
    return write_report(path, data, model)
