"""Prediction: the latency of one image, from a file and from memory, and the rate of a batch.

    python benchmarks/inference.py [NET ...] [--peers PYTHON] [--quick]

NET is default (the net for CIFAR-10), lenet5 (28x28) or resnet18 (its form for 32x32). Striate
predicts with a saved model; plain PyTorch in evaluation and inference mode, channels_last, fp32 and
bf16; ONNX Runtime where `--peers` names a Python that has it. A file is a JPEG of 500x375 pixels,
and ends as a class; arrays end as probabilities. The arms take turns, in processes with two
threads; each figure is the median over the rounds of the median of a block.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arms import Arm, alternate, running, versions_line
from PIL import Image
from provenance import write_result

import striate
from striate.data import Preprocessing
from striate.nets import auto_net

CLASSES = 10
PHOTO = (375, 500)
KINDS = {"file": "file, ms", "array": "array, ms", "batch": "batch, images/s"}


@dataclass(frozen=True)
class Setting:
    """A net, as the peers call it, and the images that it takes."""

    peer: str
    shape: tuple[int, int, int]

    def net(self) -> striate.Net:
        """Striate's net."""
        if self.peer == "whitened":
            return auto_net(size=self.shape[:2], channels=3, classes=CLASSES, images=50_000)[0]
        return striate.load_net(self.peer).adapted_to(self.shape).with_classes(CLASSES)


SETTINGS = {
    "default": Setting("whitened", (32, 32, 3)),
    "lenet5": Setting("lenet5", (28, 28, 1)),
    "resnet18": Setting("resnet18", (32, 32, 3)),
}


def write_files(setting: Setting, folder: Path, batch: int) -> tuple[Path, Path, Path]:
    """A model with random weights, a photo, and an array of images."""
    generator = np.random.default_rng(0)
    net, channels = setting.net(), setting.shape[2]
    model = striate.Model(
        net=net,
        module=net.build(setting.shape),
        classes=tuple(map(str, range(CLASSES))),
        preprocessing=Preprocessing(
            size=setting.shape[:2],
            channels=channels,
            mean=(0.47,) * channels,
            std=(0.24,) * channels,
        ),
    )
    places = folder / "model.safetensors", folder / "photo.jpg", folder / "images.npz"
    model.save(places[0])
    coarse = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(PHOTO[::-1], Image.Resampling.BICUBIC).save(places[1])
    np.savez(places[2], images=generator.integers(0, 256, (batch, *setting.shape), dtype=np.uint8))
    return places


def measure(setting: Setting, options: argparse.Namespace) -> str:
    """The table of a net."""
    with tempfile.TemporaryDirectory() as scratch:
        model, photo, arrays = write_files(setting, Path(scratch), options.batch)
        ours, theirs = (model, photo, arrays), (setting.peer, photo, arrays)
        bf16 = ("--precision", "bf16")
        arms = (
            Arm("Striate", "striate_inference.py", ours),
            Arm("Striate, bf16", "striate_inference.py", (*ours, *bf16)),
            Arm("PyTorch, fp32", "peers/pytorch_inference.py", theirs),
            Arm("PyTorch, bf16", "peers/pytorch_inference.py", (*theirs, *bf16)),
            Arm("ONNX Runtime, fp32", "peers/onnx_inference.py", theirs, options.peers),
        )
        with running(arms, threads=options.threads) as started:
            figures = {
                kind: alternate(started, options.rounds, {"kind": kind, "seconds": options.seconds})
                for kind in KINDS
            }
            names, versions = [arm.name for arm in started], versions_line(started)
    lines = [f"| arm | {' | '.join(KINDS.values())} |", "|---|---:|---:|---:|"]
    for name in names:
        cells = []
        for kind, answers in figures.items():
            seconds = statistics.median(answer["seconds"] for answer in answers[name])
            if np.isnan(seconds):
                cells.append("")
            elif kind == "batch":
                cells.append(f"{options.batch / seconds:,.0f}")
            else:
                cells.append(f"{1e3 * seconds:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join((*lines, "", versions))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", choices=[*SETTINGS, []], default=[])
    parser.add_argument("--peers", default=sys.executable, help="a Python with onnxruntime")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a block")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a proof that it runs: no results")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.batch = 1, 0.05, 16
    body = []
    for name in options.nets or SETTINGS:
        height, width, channels = SETTINGS[name].shape
        title = f"## {name}: {height}x{width}x{channels}, batches of {options.batch}"
        body.append(f"{title}\n\n{measure(SETTINGS[name], options)}\n")
        print(body[-1], flush=True)
    if not options.quick:
        print(write_result("inference", "Prediction", "\n".join(body)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
