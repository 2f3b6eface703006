"""Seeing what a net does: filters on images, and gradients checked and followed."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.explanation.backpropagation import backprop
    from striate.explanation.derivation import Derivation
    from striate.explanation.differences import Comparison
    from striate.explanation.filters import Filtered, Padding, filter_image
    from striate.explanation.flow import GradientFlow, LayerFlow, gradient_flow
    from striate.explanation.gradients import GradientCheck, LayerCheck, check_gradient
    from striate.explanation.kernels import (
        KERNELS,
        SHOWS,
        Kernel,
        KernelOptions,
        make_kernel,
        read_kernel,
    )
    from striate.explanation.net_derivation import LayerDerivation, NetDerivation
    from striate.explanation.reference_net import reference_net

__all__ = [
    "KERNELS",
    "SHOWS",
    "Comparison",
    "Derivation",
    "Filtered",
    "GradientCheck",
    "GradientFlow",
    "Kernel",
    "KernelOptions",
    "LayerCheck",
    "LayerDerivation",
    "LayerFlow",
    "NetDerivation",
    "Padding",
    "backprop",
    "check_gradient",
    "filter_image",
    "gradient_flow",
    "make_kernel",
    "read_kernel",
    "reference_net",
]

# Loaded when they are first asked for: most need PyTorch, which takes a second.
_MODULES = {
    "backprop": "backpropagation",
    "Derivation": "derivation",
    "Comparison": "differences",
    "Filtered": "filters",
    "Padding": "filters",
    "filter_image": "filters",
    "GradientFlow": "flow",
    "LayerFlow": "flow",
    "gradient_flow": "flow",
    "GradientCheck": "gradients",
    "LayerCheck": "gradients",
    "check_gradient": "gradients",
    "KERNELS": "kernels",
    "SHOWS": "kernels",
    "Kernel": "kernels",
    "KernelOptions": "kernels",
    "make_kernel": "kernels",
    "read_kernel": "kernels",
    "LayerDerivation": "net_derivation",
    "NetDerivation": "net_derivation",
    "reference_net": "reference_net",
}


def __getattr__(name: str) -> object:
    """Load a name from the module that has it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"striate.explanation.{_MODULES[name]}"), name)
