"""How near a training step comes to what the machine can do: by phase, and by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.training.ceilings import Ceilings


@dataclass(frozen=True)
class Phase:
    """A part of the step.

    Attributes:
        name: "gather", "forward", "input gradient", "weight gradient", "pointwise", "optimiser" or
            "other".
        seconds: Its time.
        flop: Its floating-point operations, two for each multiply-add of a matrix product; 0 where
            these are not what it does.
        bytes: What it must read and write at least, in the types that it computes in; of
            "pointwise" what its operators do read and write. 0 where that is not known.
    """

    name: str
    seconds: float
    flop: int = 0
    bytes: int = 0

    @property
    def flop_rate(self) -> float:
        """In a second."""
        return self.flop / self.seconds if self.seconds > 0 else 0.0

    @property
    def byte_rate(self) -> float:
        """In a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.flop / self.bytes if self.bytes else 0.0


@dataclass(frozen=True)
class LayerPhase:
    """One pass of one layer that multiplies with weights.

    Attributes:
        layer: Its name in the net, as "conv3".
        text: Its word in the net's text.
        phase: The pass.
    """

    layer: str
    text: str
    phase: Phase


@dataclass(frozen=True)
class Bench:
    """What `striate.bench` measured.

    Attributes:
        device: "cpu", "cuda" or "mps".
        processor: Its name, or that of the GPU.
        threads: Of the processor, with which the ceilings were measured.
        torch: The version of PyTorch.
        kernels: Whose compiled operators run: "avx512", "avx2", "scalar", "pytorch" where there are
            none, or "off".
        ceilings: The most that the machine does.
        net: The net's canonical text.
        input: H, W, C of the images.
        data: Where these came from; None where they were made up.
        batch: Images in a step.
        precision: "fp32" or "bf16".
        step_threads: Those that the training uses: fewer where a step is short.
        steps: How many whole steps were measured; `seconds` is the median of their times.
        seconds: Of a whole step.
        range: Those of the fastest and of the slowest.
        phases: Its parts, which add up to it.
        layers: The passes of its layers.
    """

    device: str
    processor: str
    threads: int
    torch: str
    kernels: str
    ceilings: Ceilings
    net: str
    input: tuple[int, int, int]
    data: str | None
    batch: int
    precision: str
    step_threads: int
    steps: int
    seconds: float
    range: tuple[float, float]
    phases: tuple[Phase, ...]
    layers: tuple[LayerPhase, ...]

    @property
    def images_per_second(self) -> float:
        """Of training."""
        return self.batch / self.seconds

    @property
    def flop(self) -> int:
        """Of the net's products in a step; those of the optimiser do not count."""
        return sum(part.phase.flop for part in self.layers)

    @property
    def flop_rate(self) -> float:
        """Of the net's products, in a second of the whole step."""
        return self.flop / self.seconds

    @property
    def ceiling(self) -> float:
        """Operations in a second of a matrix product in the step's precision."""
        return self.ceilings.flop(self.precision)

    @property
    def step(self) -> Phase:
        """The whole step, with the net's products and the bytes of all phases."""
        return Phase("step", self.seconds, self.flop, sum(phase.bytes for phase in self.phases))

    def draw(self, path: str | Path) -> None:
        """Draw the roofline into an SVG or PNG file.

        Raises:
            UsageError: If the file's name ends otherwise.
            ResourceError: If it cannot be written.
        """
        from striate.report.roofline import draw_roofline  # noqa: PLC0415 - matplotlib is slow

        draw_roofline(self, path)

    def share_of_ceiling(self, phase: Phase) -> float | None:
        """Of the matrix product's rate, or of the copy's where no products count."""
        if phase.flop:
            return phase.flop_rate / self.ceiling
        return phase.byte_rate / self.ceilings.copy_bytes if phase.bytes else None

    def to_json(self) -> dict[str, Any]:
        """The document of `bench --json`."""
        return {
            "device": self.device,
            "processor": self.processor,
            "threads": self.threads,
            "torch": self.torch,
            "kernels": self.kernels,
            "ceilings": self.ceilings.to_json(),
            "net": self.net,
            "input": list(self.input),
            "data": self.data,
            "batch": self.batch,
            "precision": self.precision,
            "step_threads": self.step_threads,
            "steps": self.steps,
            "step_seconds": self.seconds,
            "step_range": list(self.range),
            "images_per_second": self.images_per_second,
            "gflops": self.flop_rate / 1e9,
            "share_of_ceiling": self.flop_rate / self.ceiling,
            "phases": [
                {**self._figures(phase), "share_of_step": phase.seconds / self.seconds}
                for phase in self.phases
            ],
            "layers": [
                {"layer": part.layer, "text": part.text, **self._figures(part.phase)}
                for part in self.layers
            ],
        }

    def _figures(self, phase: Phase) -> dict[str, Any]:
        return {
            "phase": phase.name,
            "seconds": phase.seconds,
            "flop": phase.flop or None,
            "bytes": phase.bytes or None,
            "gflops": phase.flop_rate / 1e9 if phase.flop else None,
            "gb_per_s": phase.byte_rate / 1e9 if phase.bytes else None,
            "share_of_ceiling": self.share_of_ceiling(phase),
        }
