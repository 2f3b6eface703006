"""A run folder of a net that was really trained, for a second, on scikit-learn's digits."""

import csv
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from striate.data import TEST, TRAIN, VALIDATION, Data, to_tensor
from striate.evaluation import Evaluation, evaluate_logits, fit_temperature, softmax
from striate.model import Model
from striate.nets import parse_net
from striate.report.facts import Facts, NetSize, most_confused
from striate.report.files import Point, RunRecord

NET = "[conv3-16 bn relu maxpool2]*2 fc-10"
EPOCHS = 6


@dataclass(frozen=True)
class TrainedRun:
    """A run folder, and the data and the model that belong to it."""

    path: Path
    data: Data
    model: Model

    def read(self, name: str) -> dict:
        return json.loads((self.path / name).read_text())

    def write(self, name: str, document: dict) -> None:
        (self.path / name).write_text(json.dumps(document, indent=1))


@pytest.fixture
def make_facts() -> Callable[..., Facts]:
    """Makes the facts of a run on pets: `confusion`, `counts`, `points` and fields of Facts."""

    def make(
        confusion: list[list[int]] | None,
        *,
        counts: tuple[int, int, int] = (1000, 100, 100),
        points: list[dict] | None = None,
        recipe: dict | None = None,
        problems: list[dict] | None = None,
        sure: float = 0.9,
        **fields: object,
    ) -> Facts:
        names = ("cat", "dog", "eel", "fox")[: len(confusion or [[], []])]
        scores = None if confusion is None else evaluation(confusion, names, sure=sure)
        run = {
            "created": "2025-11-20T21:00:00Z",
            "data": {
                "name": "pets",
                "manifest_hash": "0" * 64,
                "classes": names,
                "counts": dict(zip(("train", "validation", "test"), counts, strict=True)),
                "size": [8, 8, 1],
                "problems": problems or [],
            },
            "net": "fc-2",
            "recipe": recipe or {},
            "seed": 0,
            "device": "cpu",
            "precision": "fp32",
        }
        facts = Facts(
            run=RunRecord.model_validate(run),
            net=NetSize(layers=3, parameters=2_124_000, multiply_adds=10**8),
            points=tuple(
                Point(line=at, epoch=at, **point) for at, point in enumerate(points or [], start=1)
            ),
            split=None if scores is None else "test" if counts[2] else "validation",
            scores=scores,
            confusions=most_confused(scores),
            mean_probability=None if scores is None else sure,
            calibration_noise=0.0,
            sure_mistakes=0,
        )
        return replace(facts, **fields)

    return make


def evaluation(confusion: list[list[int]], names: tuple[str, ...], *, sure: float) -> Evaluation:
    """An evaluation with this confusion matrix, every answer given with the probability `sure`."""
    counts = np.array(confusion)
    rows, columns = np.nonzero(counts)
    labels = np.repeat(rows, counts[rows, columns])
    answers = np.repeat(columns, counts[rows, columns])
    logits = np.full((len(labels), len(names)), np.log((1 - sure) / (len(names) - 1)))
    logits[np.arange(len(labels)), answers] = np.log(sure)
    return evaluate_logits(logits, labels, names)


@pytest.fixture(scope="session")
def digits() -> tuple[Data, Model, list[dict]]:
    """Digits, split, with a model that was trained on them, and the lines of its training."""
    torch.manual_seed(0)
    found = load_digits()
    images = (found.images * 15.9).astype(np.uint8)
    data = Data.from_arrays(images, found.target.astype(str), name="digits")
    data = data.split(validation=0.1, test=0.3, seed=0)
    module = parse_net(NET).build((8, 8, 1))
    model = Model(
        net=parse_net(NET), module=module, classes=data.classes, preprocessing=data.preprocessing
    )
    return data, model, list(train(model, data))


def train(model: Model, data: Data) -> Iterator[dict]:
    """A plain loop; a measurement an epoch."""
    torch.set_num_threads(1)
    images = to_tensor(torch.from_numpy(data.images), *statistics(data))
    labels = torch.from_numpy(data.labels)
    optimizer = torch.optim.SGD(model.module.parameters(), lr=0.02, momentum=0.9)
    seen = torch.from_numpy(data.indices(TRAIN))
    for epoch in range(1, EPOCHS + 1):
        model.module.train()
        losses, right = [], 0
        for batch in seen[torch.randperm(len(seen))].split(64):
            logits = model.module(images[batch])
            loss = torch.nn.functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += int((logits.argmax(1) == labels[batch]).sum())
        held = scores(model, data, VALIDATION)
        yield {
            "epoch": epoch,
            "step": epoch * len(losses),
            "restart": 0,
            "seconds": epoch * 0.05,
            "train_loss": float(np.mean(losses)),
            "train_accuracy": right / len(seen),
            "validation_loss": held.loss,
            "validation_accuracy": held.accuracy,
            "learning_rate": 0.02,
            "images_per_second": 20000.0,
        }


def statistics(data: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return data.preprocessing.mean, data.preprocessing.std


def scores(model: Model, data: Data, split: int) -> Evaluation:
    chosen = data.indices(split)
    model.module.eval()
    return evaluate_logits(
        model.logits(data.images[chosen]),
        data.labels[chosen],
        data.classes,
        temperature=model.temperature,
    )


@pytest.fixture
def trained(tmp_path: Path, digits: tuple[Data, Model, list[dict]]) -> TrainedRun:
    """A fresh run folder."""
    return write_files(tmp_path / "digits-1", *digits)


@pytest.fixture
def write_run() -> Callable[..., TrainedRun]:
    """Writes the files that a run leaves."""
    return write_files


def write_files(path: Path, data: Data, model: Model, lines: list[dict]) -> TrainedRun:
    """Write the files that a run leaves."""
    path.mkdir()
    held = data.indices(VALIDATION)
    temperature = fit_temperature(model.logits(data.images[held]), data.labels[held])
    model = replace(model, temperature=temperature)
    run = TrainedRun(path, data, model)
    run.write("run.json", describe(data, model))
    documents = {
        name: scores(model, data, split).to_json() if len(data.indices(split)) else None
        for name, split in (("validation", VALIDATION), ("test", TEST))
    }
    run.write("evaluation.json", documents)
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_predictions(run)
    return run


def describe(data: Data, model: Model) -> dict:
    counts = {
        name: len(data.indices(split))
        for name, split in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))
    }
    return {
        "format": 1,
        "status": "finished",
        "created": "2025-11-20T21:00:00Z",
        "command": shlex.split("striate train digits --epochs 6"),
        "data": {
            "source": "digits",
            "name": data.name,
            "manifest_hash": data.manifest_hash,
            "classes": list(data.classes),
            "counts": counts,
            "size": list(data.images.shape[1:]),
            "mirror": False,
            "problems": [],
        },
        "net": model.net.text,
        "recipe": {
            "epochs": EPOCHS,
            "batch_size": 64,
            "optimizer": {"name": "momentum", "lr": 0.02},
            "loss": {"name": "cross_entropy", "label_smoothing": 0.0, "class_weights": "none"},
            "data": {"size": 0, "resize": "squash", "validation": 0.1, "test": 0.3},
        },
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
        "versions": {"striate": "0.1.0", "torch": torch.__version__},
        "machine": {
            "processor": "Intel(R) Xeon(R) Processor @ 2.60GHz",
            "cores": 2,
            "memory_gib": 23,
        },
        "notes": ["images are not mirrored: a mirrored digit or letter is another one"],
        "result": {"epochs": EPOCHS, "seconds": 0.3, "images_per_second": 20000.0},
    }


def write_predictions(run: TrainedRun, names: NDArray[np.str_] | None = None) -> None:
    """`predictions.csv`, as the pipeline writes it."""
    data, model = run.data, run.model
    with (run.path / "predictions.csv").open(
        "w", encoding="utf-8", errors="surrogateescape", newline=""
    ) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("index", "name", "split", "label", "predicted", "probability", "label_probability")
        )
        for name, split in (("validation", VALIDATION), ("test", TEST)):
            chosen = data.indices(split)
            if not len(chosen):
                continue
            shares = softmax(model.logits(data.images[chosen]), temperature=model.temperature)
            for index, row in zip(chosen.tolist(), shares, strict=True):
                label, predicted = int(data.labels[index]), int(row.argmax())
                shown = data.names[index] if names is None else names[index]
                classes = data.classes[label], data.classes[predicted]
                figures = f"{row[predicted]:.6f}", f"{row[label]:.6f}"
                writer.writerow((index, shown, name, *classes, *figures))
