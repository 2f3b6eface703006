"""A finished run, as Python and the command line see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """What a training gave.

    Attributes:
        path: The run folder.
        model: The model file.
        report: The report.
        net: The net's canonical text.
        epochs: E, counted over all restarts.
        steps: Batches trained on.
        seconds: Of training alone.
        images_per_second: Over the training.
        validation: The evaluation on the validation images, as `striate evaluate --json` gives it,
            or None.
        test: The same on the test images.
        stopped: "finished", "patience" or "time".
    """

    path: Path
    model: Path
    report: Path
    net: str
    epochs: int
    steps: int
    seconds: float
    images_per_second: float
    validation: dict[str, Any] | None
    test: dict[str, Any] | None
    stopped: str

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Run:
        """The run of a document that `to_json` gave."""
        values = {**document, "path": Path(document["run"])}
        values |= {name: Path(document[name]) for name in ("model", "report")}
        del values["run"]
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The document of `train --json` and `resume --json`."""
        return {
            "run": str(self.path),
            "model": str(self.model),
            "report": str(self.report),
            "net": self.net,
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "validation": self.validation,
            "test": self.test,
            "stopped": self.stopped,
        }
