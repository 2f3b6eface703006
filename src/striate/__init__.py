"""From labelled images to a trained, understood and shipped convolutional network."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.classifier import ImageClassifier
    from striate.data import Data, check_data, load_data
    from striate.errors import (
        CheckpointError,
        DataError,
        DivergedError,
        ModelError,
        NetError,
        RecipeError,
        ResourceError,
        StriateError,
        StriateWarning,
        UsageError,
    )
    from striate.explanation import backprop, check_gradient, filter_image, gradient_flow
    from striate.jobs.bench import bench
    from striate.jobs.evaluate import evaluate
    from striate.jobs.predict import predict
    from striate.jobs.report import rebuild_report
    from striate.jobs.resume import resume
    from striate.jobs.run import Run
    from striate.jobs.train import train
    from striate.model import Model, load_model
    from striate.nets import Net, load_net, parse_net
    from striate.training.recipe import Recipe, load_recipe

__all__ = [
    "CheckpointError",
    "Data",
    "DataError",
    "DivergedError",
    "ImageClassifier",
    "Model",
    "ModelError",
    "Net",
    "NetError",
    "Recipe",
    "RecipeError",
    "ResourceError",
    "Run",
    "StriateError",
    "StriateWarning",
    "UsageError",
    "backprop",
    "bench",
    "check_data",
    "check_gradient",
    "evaluate",
    "filter_image",
    "gradient_flow",
    "load_data",
    "load_model",
    "load_net",
    "load_recipe",
    "parse_net",
    "predict",
    "rebuild_report",
    "resume",
    "train",
]

_ROOMS = {
    "ImageClassifier": "striate.classifier",
    "Data": "striate.data",
    "load_data": "striate.data",
    "check_data": "striate.data",
    "evaluate": "striate.jobs.evaluate",
    "backprop": "striate.explanation",
    "bench": "striate.jobs.bench",
    "check_gradient": "striate.explanation",
    "filter_image": "striate.explanation",
    "gradient_flow": "striate.explanation",
    "predict": "striate.jobs.predict",
    "rebuild_report": "striate.jobs.report",
    "resume": "striate.jobs.resume",
    "Run": "striate.jobs.run",
    "train": "striate.jobs.train",
    "Model": "striate.model",
    "load_model": "striate.model",
    "Net": "striate.nets",
    "load_net": "striate.nets",
    "parse_net": "striate.nets",
    "Recipe": "striate.training.recipe",
    "load_recipe": "striate.training.recipe",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for: `import striate` loads no PyTorch."""
    if name not in __all__:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    value = getattr(import_module(_ROOMS.get(name, "striate.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
