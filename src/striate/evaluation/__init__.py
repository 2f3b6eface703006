"""What a model is worth: metrics with intervals, calibration, several views of an image."""

from striate.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_softmax,
    reliability_bins,
    softmax,
)
from striate.evaluation.intervals import wilson_interval
from striate.evaluation.metrics import (
    ClassFigures,
    Evaluation,
    class_figures,
    confusion_matrix,
    evaluate_logits,
)
from striate.evaluation.views import VIEWS, check_views, least_sure, make_views, view_logits

__all__ = [
    "VIEWS",
    "ClassFigures",
    "Evaluation",
    "check_views",
    "class_figures",
    "confusion_matrix",
    "evaluate_logits",
    "expected_calibration_error",
    "fit_temperature",
    "least_sure",
    "log_softmax",
    "make_views",
    "reliability_bins",
    "softmax",
    "view_logits",
    "wilson_interval",
]
