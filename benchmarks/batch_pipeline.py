"""The batch pipeline alone: the compiled gather against PyTorch's operators, one by one.

    python benchmarks/batch_pipeline.py [DATA ...] [--batches 200]

For each data set (cifar10 and mnist unless others are named) and the recipes `fast` and `thorough`,
the training's own batches, with its batch size and threads, in three arms that take turns batch by
batch: compiled, by PyTorch (as with `kernels=off`), and, for comparison, images picked out of a set
that was normalised to fp32 beforehand, without any augmentation: the least that a pipeline of
PyTorch operators does, and four times the memory. The first batches of each are not counted; the
median of the others is. The images of both pipelines are compared: bit for bit, or to rounding
where the recipe crops or turns them, as of photos. About 20 seconds, without a folder of photos.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from provenance import write_result
from torch import Tensor

from striate.data import Batches, Data, load_data, to_tensor
from striate.jobs.plan import make_plan
from striate.kernels import keep_freed_memory, processor
from striate.training.recipe import load_recipe
from striate.training.repeating import limited_threads
from striate.training.setup import prepare

RECIPES = ("fast", "thorough")
FIRST_BATCHES = 5
ARMS = ("compiled", "pytorch", "picked")


@dataclass(frozen=True)
class Row:
    data: str
    recipe: str
    batch: int
    threads: int
    seconds: dict[str, float]

    def line(self) -> str:
        times = (1e3 * self.seconds[arm] for arm in ARMS)
        shown = " | ".join(f"{milliseconds:.2f}" for milliseconds in times)
        rates = " | ".join(f"{self.batch / self.seconds[arm]:,.0f}" for arm in ARMS)
        ratio = self.seconds["pytorch"] / self.seconds["compiled"]
        who = f"{self.data} | {self.recipe} | {self.batch} | {self.threads}"
        return f"| {who} | {shown} | {ratio:.1f} | {rates} |"


def endless(batches: Batches) -> Iterator[Tensor]:
    """The images of one batch after another, epoch after epoch."""
    epoch = 0
    while True:
        for batch in batches.epoch(epoch):
            yield batch.images
        epoch += 1


def picked(batches: Batches) -> Callable[[], Tensor]:
    """Batches without augmentation, out of a set that is normalised already."""
    images = to_tensor(torch.from_numpy(np.array(batches.images)), batches.mean, batches.std)
    order = torch.randperm(len(images))
    places = iter(order.split(batches.batch_size) * 1000)
    return lambda: images[next(places)]


def measure(data: Data, recipe: str, count: int) -> Row:
    """A line of the table."""
    plan, _ = make_plan(data, net="auto", recipe=load_recipe(recipe), seed=0, device="cpu")
    with limited_threads(plan.threads):
        batches = prepare(plan, data)[0].batches
        one_by_one = replace(batches, kernels=False)
        arms = {
            "compiled": endless(batches).__next__,
            "pytorch": endless(one_by_one).__next__,
            "picked": picked(batches),
        }
        times: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for number in range(FIRST_BATCHES + count):
            images = {}
            for arm in ARMS if number % 2 else ARMS[::-1]:
                start = time.perf_counter()
                images[arm] = arms[arm]()
                times[arm].append(time.perf_counter() - start)
            close = 1e-2 if batches.augment.warps else 0.0
            torch.testing.assert_close(images["compiled"], images["pytorch"], rtol=0, atol=close)
    medians = {arm: statistics.median(times[arm][FIRST_BATCHES:]) for arm in ARMS}
    return Row(data.name, recipe, batches.together, plan.threads, medians)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="*", default=["cifar10", "mnist"])
    parser.add_argument("--batches", type=int, default=200, help="timed, of each arm")
    options = parser.parse_args()
    keep_freed_memory()
    lines = [
        f"Compiled for {processor()}. Times are medians of {options.batches} batches.",
        "",
        "| data | recipe | batch | threads | compiled, ms | PyTorch, ms | picked, ms "
        "| PyTorch / compiled | compiled, images/s | PyTorch, images/s | picked, images/s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in options.data:
        data = load_data(name).split()
        for recipe in RECIPES:
            lines.append(measure(data, recipe, options.batches).line())
            print(lines[-1], flush=True)
    print(write_result("batch-pipeline", "The batch pipeline alone", "\n".join(lines)))


if __name__ == "__main__":
    main()
