"""What every layer is held against: PyTorch in float64, and numerical differences.

And the settings with which it is: any sizes, strides, paddings, dilations, groups that fit.
"""

import numpy as np
import pytest
import torch
from hypothesis import assume
from hypothesis import strategies as st


@pytest.fixture(scope="session")
def in_torch():
    """A function of tensors, run in float64: its output, a slope for it, each array's gradient."""

    def run(function, *arrays):
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        output = function(*tensors)
        slope = np.random.default_rng(7).normal(size=tuple(output.shape))
        output.backward(torch.tensor(slope))
        return output.detach().numpy(), slope, [tensor.grad.numpy() for tensor in tensors]

    return run


@pytest.fixture(scope="session")
def numerical():
    """d(sum of slope * function(array)) / d(array), by central differences."""

    def gradient(function, array, slope, step=1e-5):
        found = np.zeros(array.shape)
        for place in np.ndindex(*array.shape):
            nudge = np.zeros(array.shape)
            nudge[place] = step
            rise = function(array + nudge) - function(array - nudge)
            found[place] = np.sum(slope * rise) / (2 * step)
        return found

    return gradient


SMALL = {"size": (1, 6), "kernel": (1, 3), "stride": (1, 3), "padding": (0, 2), "dilation": (1, 2)}


@pytest.fixture(scope="session")
def draw_layer():
    """Images, weights (K, C/G, ...), a dilation, and stride, padding and groups, that fit."""

    def draw(data):
        axes = data.draw(st.integers(1, 2), label="axes")
        each = {
            name: data.draw(st.tuples(*[st.integers(*limits)] * axes), label=name)
            for name, limits in SMALL.items()
        }
        for w, f, _, p, d in zip(*each.values(), strict=True):
            assume(w + 2 * p >= d * (f - 1) + 1)
        groups = data.draw(st.integers(1, 3), label="groups")
        count, channels, kernels = data.draw(st.tuples(*[st.integers(1, 2)] * 3))
        numbers = np.random.default_rng(axes)
        images = numbers.normal(size=(count, groups * channels, *each["size"]))
        weights = numbers.normal(size=(groups * kernels, channels, *each["kernel"]))
        options = {"stride": each["stride"], "padding": each["padding"], "groups": groups}
        return images, weights, each["dilation"], options

    return draw
