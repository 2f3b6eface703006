"""The end of a run: calibrate, evaluate, write predictions, save the model, write the report."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import TEST, VALIDATION, Data, Split
from striate.evaluation import (
    Evaluation,
    evaluate_logits,
    expected_calibration_error,
    fit_temperature,
    softmax,
    view_logits,
)
from striate.jobs.run import Run
from striate.model import Model, write_atomically
from striate.report import is_at_chance, write_report
from striate.training.events import Events
from striate.training.folder import RunFolder, read_run
from striate.training.setup import Plan
from striate.training.state import TrainingState


def finish(plan: Plan, data: Data, state: TrainingState, folder: RunFolder, events: Events) -> Run:
    """Turn the trained state into the files of a finished run.

    The best weights by validation loss are saved; without validation images, the last ones.
    """
    model = trained_model(plan, data, state, _provenance(plan, data, folder)).to(plan.device)
    calibration = _calibrate(model, data)
    views = int(plan.recipe.views)
    logits = {
        split: view_logits(model, data.images, views=views, indices=data.indices(split))
        for split in (VALIDATION, TEST)
        if len(data.indices(split))
    }
    evaluations = {
        split: evaluate_logits(
            logits[split],
            data.labels[data.indices(split)],
            data.classes,
            views=views,
            temperature=model.temperature,
        )
        for split in logits
    }
    documents = {
        name: evaluations[split].to_json() if split in evaluations else None
        for name, split in (("validation", VALIDATION), ("test", TEST))
    }
    folder.write_json("evaluation.json", {**documents, "calibration": calibration})
    write_atomically(folder.path / "predictions.csv", _predictions(data, logits, model.temperature))
    model.to("cpu").save(folder.path / "model.safetensors")
    run = Run(
        path=folder.path,
        model=folder.path / "model.safetensors",
        report=folder.path / "report.html",
        net=plan.net.text,
        epochs=state.epochs,
        steps=state.step,
        seconds=state.seconds,
        images_per_second=state.images_per_second,
        validation=documents["validation"],
        test=documents["test"],
        stopped=state.stopped,
    )
    _record(folder, run, evaluations.get(TEST) or evaluations.get(VALIDATION), events)
    write_report(folder.path, data, model)
    return run


def trained_model(
    plan: Plan, data: Data, state: TrainingState, provenance: dict[str, Any]
) -> Model:
    """The model with the best weights by validation loss, or the last where there is none."""
    height, width, channels = data.images.shape[1:]
    module = plan.net.build((height, width, channels))
    module.load_state_dict(state.weights() if state.best is None else state.best.weights)
    return Model(
        net=plan.net,
        module=module.eval(),
        classes=data.classes,
        preprocessing=plan.preprocessing(data),
        temperature=1.0,
        provenance=provenance,
    )


def _provenance(plan: Plan, data: Data, folder: RunFolder) -> dict[str, Any]:
    description = read_run(folder.path)
    start = {} if plan.start is None else {"weights": plan.start.model_dump(mode="json")}
    return {
        "run": folder.path.name,
        "created": description["created"],
        "manifest_hash": data.manifest_hash,
        "seed": plan.seed,
        "versions": description["versions"],
        **start,
    }


def _calibrate(model: Model, data: Data) -> dict[str, float | None]:
    """Fit the temperature on one view of the validation images, and set it on the model."""
    places = data.indices(VALIDATION)
    if not len(places):
        return {"temperature": 1.0, "ece_before": None, "ece_after": None}
    logits, labels = view_logits(model, data.images, views=1, indices=places), data.labels[places]
    model.temperature = fit_temperature(logits, labels)
    before, after = (
        expected_calibration_error(softmax(logits, temperature=t), labels)
        for t in (1.0, model.temperature)
    )
    return {"temperature": model.temperature, "ece_before": before, "ece_after": after}


def _predictions(data: Data, logits: dict[Split, NDArray[np.float32]], temperature: float) -> str:
    """`predictions.csv`: what the model says of each validation and test image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("index", "name", "split", "label", "predicted", "probability", "label_probability")
    )
    for split, values in logits.items():
        probabilities = softmax(values, temperature=temperature)
        for index, row in zip(data.indices(split).tolist(), probabilities, strict=True):
            label, predicted = int(data.labels[index]), int(row.argmax())
            writer.writerow(
                (
                    index,
                    data.names[index],
                    split.name.lower(),
                    data.classes[label],
                    data.classes[predicted],
                    f"{row[predicted]:.6f}",
                    f"{row[label]:.6f}",
                )
            )
    return text.getvalue()


def _record(folder: RunFolder, run: Run, scores: Evaluation | None, events: Events) -> None:
    """Write the result into `run.json`, with a warning where nothing was learned."""
    description = read_run(folder.path)
    if scores is not None and is_at_chance(scores):
        warning = (
            f"the accuracy of {scores.accuracy:.1%} is near that of always naming the commonest "
            "class: the report lists what may be the cause"
        )
        if warning not in description["notes"]:  # a run that is finished twice
            description["notes"].append(warning)
        folder.log(warning)
        events.say(warning)
    description |= {"status": run.stopped, "result": run.to_json()}
    folder.write_json("run.json", description)
