"""Writing the report of a run."""

from __future__ import annotations

from pathlib import Path

from striate.data import Data
from striate.model import Model, write_atomically
from striate.report.files import REPORT_NAME, RunFiles, read_files
from striate.report.page import Inputs, render


def write_report(run: Path, data: Data, model: Model) -> Path:
    """Write `report.html` into a run folder, from the files that are there.

    Args:
        run: The run folder.
        data: The run's data: its images are shown. If it is not what the run was trained on, the
            page says so and shows none.
        model: The run's model: its first filters and its layers are shown.

    Returns:
        The path of the page.

    Raises:
        ModelError: If a file of the run is missing or damaged.
        ResourceError: If the disk is full; an earlier report stays as it was.
    """
    files = read_files(run)
    shown, remarks = _images_to_show(files, data)
    page = render(Inputs(files=files, data=shown, model=model, remarks=remarks))
    target = run / REPORT_NAME
    write_atomically(target, page)
    return target


def _images_to_show(files: RunFiles, data: Data) -> tuple[Data | None, tuple[str, ...]]:
    """Pictures of changed data would stand beside the wrong figures."""
    if data.manifest_hash == files.run.data.manifest_hash:
        return data, ()
    return None, ("The data have changed since this run, so its images are not shown.",)
