"""The main path in Python: train, look at the figures, load the model, predict."""

import tempfile
from pathlib import Path

import striate

with tempfile.TemporaryDirectory() as scratch:
    run = striate.train("digits", epochs=8, out=Path(scratch) / "run")
    low, high = run.test["interval"]
    print(f"test accuracy {run.test['accuracy']:.1%}, 95 % interval {low:.1%} to {high:.1%}")

    model = striate.load_model(run.path)
    images = striate.load_data("digits").images[:3]
    for prediction in model.predict(images):
        print(prediction.label, f"{prediction.probability:.0%}")
