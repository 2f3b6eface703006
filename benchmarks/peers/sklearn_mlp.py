"""scikit-learn's MLP, with the settings of its own page on MNIST: 50 hidden units, SGD at 0.1.

    python sklearn_mlp.py ARRAYS [--batch 200]

Answers `{"images": n, ...}` with passes over the images in fp32, which is its fastest;
`{"seed": s}` with the page's ten passes, in float64 as on the page, and the accuracy on the test
images. Its linear algebra is NumPy's.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from serving import serve, timed_steps
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

HIDDEN, PASSES, RATE, ALPHA = 50, 10, 0.1, 1e-4


class Arm:
    """Answers the requests of a benchmark."""

    def __init__(self, arrays: str, batch: int) -> None:
        with np.load(arrays) as held:
            self.arrays = {name: held[name] for name in held.files}
        self.images = self._flat("images", np.float32)
        self.labels = self.arrays["labels"]
        self.batch = batch
        self.running = self._classifier(seed=1, passes=1, warm_start=True)

    def measure(self, *, seed: int = 1, images: int = 0, seconds: float = 0.0) -> dict:
        """Some passes over the images, or a whole run."""
        if images:
            return timed_steps(self._pass, images=images, seconds=seconds)
        images, test_images = (self._flat(name, np.float64) for name in ("images", "test_images"))
        start = time.perf_counter()
        classifier = self._classifier(seed=seed, passes=PASSES).fit(images, self.labels)
        trained = time.perf_counter()
        accuracy = classifier.score(test_images, self.arrays["test_labels"])
        tested = time.perf_counter()
        return {"accuracy": accuracy, "seconds": trained - start, "test_seconds": tested - trained}

    def _classifier(self, *, seed: int, passes: int, warm_start: bool = False) -> MLPClassifier:
        return MLPClassifier(
            (HIDDEN,),
            solver="sgd",
            alpha=ALPHA,
            batch_size=self.batch,
            learning_rate_init=RATE,
            max_iter=passes,
            warm_start=warm_start,
            random_state=seed,
        )

    def _pass(self) -> int:
        self.running.fit(self.images, self.labels)
        return len(self.labels)

    def _flat(self, name: str, dtype: type[np.floating]) -> np.ndarray:
        images = self.arrays[name]
        return images.reshape(len(images), -1) / dtype(255)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arrays", help="an .npz with images, labels, test_images, test_labels")
    parser.add_argument("--batch", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # it is told how often to pass
    serve(Arm(options.arrays, options.batch).measure, "scikit-learn", "numpy")


if __name__ == "__main__":
    main()
