"""The lectures' equations in plain NumPy: the page a teacher opens, and the oracle of the tests.

Every layer is two functions: one for its output, and one, ending in `_backward`, for the gradients
of what went in, given the gradient of what came out. Images have the axes (N, C, H, W) as in
PyTorch, signals (N, C, L). All is float64.
"""

from striate.reference.arrays import Gradients
from striate.reference.connected import (
    flatten,
    flatten_backward,
    fully_connected,
    fully_connected_backward,
    locally_connected,
    locally_connected_backward,
)
from striate.reference.convolution import (
    convolution,
    convolution_backward,
    convolve,
    correlate,
    dilate,
    dilate_backward,
)
from striate.reference.counts import full_weights, local_weights, shared_weights
from striate.reference.dropout import dropout, dropout_backward, dropout_masks
from striate.reference.matrix import (
    as_matrix,
    convolution_by_matrix,
    layer_matrix,
    transposed_convolution_by_matrix,
)
from striate.reference.normalization import (
    NormGradients,
    Statistics,
    batch_norm_testing,
    batch_norm_testing_backward,
    batch_norm_training,
    batch_norm_training_backward,
    layer_norm,
    layer_norm_backward,
)
from striate.reference.pooling import (
    average_pool,
    average_pool_backward,
    global_average,
    global_average_backward,
    l2_pool,
    l2_pool_backward,
    max_pool,
    max_pool_backward,
)
from striate.reference.response import response_norm, response_norm_backward
from striate.reference.transposed import transposed_convolution, transposed_convolution_backward
from striate.reference.unpooling import (
    max_unpool,
    max_unpool_backward,
    nails,
    nails_backward,
    nearest,
    nearest_backward,
)
from striate.reference.windows import exact_output_size, output_size, same_padding

__all__ = [
    "Gradients",
    "NormGradients",
    "Statistics",
    "as_matrix",
    "average_pool",
    "average_pool_backward",
    "batch_norm_testing",
    "batch_norm_testing_backward",
    "batch_norm_training",
    "batch_norm_training_backward",
    "convolution",
    "convolution_backward",
    "convolution_by_matrix",
    "convolve",
    "correlate",
    "dilate",
    "dilate_backward",
    "dropout",
    "dropout_backward",
    "dropout_masks",
    "exact_output_size",
    "flatten",
    "flatten_backward",
    "full_weights",
    "fully_connected",
    "fully_connected_backward",
    "global_average",
    "global_average_backward",
    "l2_pool",
    "l2_pool_backward",
    "layer_matrix",
    "layer_norm",
    "layer_norm_backward",
    "local_weights",
    "locally_connected",
    "locally_connected_backward",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "max_unpool_backward",
    "nails",
    "nails_backward",
    "nearest",
    "nearest_backward",
    "output_size",
    "response_norm",
    "response_norm_backward",
    "same_padding",
    "shared_weights",
    "transposed_convolution",
    "transposed_convolution_backward",
    "transposed_convolution_by_matrix",
]
