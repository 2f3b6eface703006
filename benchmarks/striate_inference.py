"""Prediction with a saved model, as an arm: see peers/serving.py.

python striate_inference.py MODEL IMAGE ARRAYS [--precision bf16]
"""

from __future__ import annotations

import argparse

import numpy as np
from serving import serve, timed_calls

import striate


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("image", help="a file")
    parser.add_argument("arrays", help="an .npz with images")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    model = striate.load_model(options.model)
    images = np.load(options.arrays)["images"]

    def probabilities(chosen: np.ndarray) -> np.ndarray:
        return model.probabilities(model.logits(chosen, precision=options.precision))

    calls = {
        "file": lambda: model.predict(options.image),
        "array": lambda: probabilities(images[:1]),
        "batch": lambda: probabilities(images),
    }

    def measure(kind: str, seconds: float) -> dict:
        if kind == "file" and options.precision != "fp32":
            return {"images": 1, "seconds": float("nan")}  # `predict` chooses the precision itself
        count = len(images) if kind == "batch" else 1
        return {"images": count, "seconds": timed_calls(calls[kind], seconds=seconds)}

    serve(measure, "striate", "torch", "pillow")


if __name__ == "__main__":
    main()
