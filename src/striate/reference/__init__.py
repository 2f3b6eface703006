"""The lectures' equations in plain NumPy: the page a teacher opens, and the oracle of the tests.

Every layer is two functions: one for its output, and one, ending in `_backward`, for the gradients
of what went in, given the gradient of what came out. Images have the axes (N, C, H, W) as in
PyTorch, signals (N, C, L). All is float64.
"""

from striate.reference.activations import ACTIVATIONS, softmax, softmax_backward
from striate.reference.arrays import Gradients
from striate.reference.batches import full, mini_batches, one_by_one
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
from striate.reference.graph import Node, gradients, variable
from striate.reference.lbfgs import lbfgs
from striate.reference.losses import (
    LOSSES,
    cross_entropy,
    multiclass_logistic,
    one_hot,
    reconstruction,
    smoothed,
)
from striate.reference.matrix import (
    as_matrix,
    convolution_by_matrix,
    layer_matrix,
    transposed_convolution_by_matrix,
)
from striate.reference.muon import muon
from striate.reference.net import Layer, backward, forward
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
from striate.reference.optimizers import adam, gradient_descent, momentum, nesterov, rmsprop
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
from striate.reference.random_search import random_local_search, random_restarts, random_search
from striate.reference.regularizers import elastic_net, l1, l2
from striate.reference.response import response_norm, response_norm_backward
from striate.reference.schedules import Adaptive, constant, inverse_scaling
from striate.reference.stopping import early_stopping
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
    "ACTIVATIONS",
    "LOSSES",
    "Adaptive",
    "Gradients",
    "Layer",
    "Node",
    "NormGradients",
    "Statistics",
    "adam",
    "as_matrix",
    "average_pool",
    "average_pool_backward",
    "backward",
    "batch_norm_testing",
    "batch_norm_testing_backward",
    "batch_norm_training",
    "batch_norm_training_backward",
    "constant",
    "convolution",
    "convolution_backward",
    "convolution_by_matrix",
    "convolve",
    "correlate",
    "cross_entropy",
    "dilate",
    "dilate_backward",
    "dropout",
    "dropout_backward",
    "dropout_masks",
    "early_stopping",
    "elastic_net",
    "exact_output_size",
    "flatten",
    "flatten_backward",
    "forward",
    "full",
    "full_weights",
    "fully_connected",
    "fully_connected_backward",
    "global_average",
    "global_average_backward",
    "gradient_descent",
    "gradients",
    "inverse_scaling",
    "l1",
    "l2",
    "l2_pool",
    "l2_pool_backward",
    "layer_matrix",
    "layer_norm",
    "layer_norm_backward",
    "lbfgs",
    "local_weights",
    "locally_connected",
    "locally_connected_backward",
    "max_pool",
    "max_pool_backward",
    "max_unpool",
    "max_unpool_backward",
    "mini_batches",
    "momentum",
    "multiclass_logistic",
    "muon",
    "nails",
    "nails_backward",
    "nearest",
    "nearest_backward",
    "nesterov",
    "one_by_one",
    "one_hot",
    "output_size",
    "random_local_search",
    "random_restarts",
    "random_search",
    "reconstruction",
    "response_norm",
    "response_norm_backward",
    "rmsprop",
    "same_padding",
    "shared_weights",
    "smoothed",
    "softmax",
    "softmax_backward",
    "transposed_convolution",
    "transposed_convolution_backward",
    "transposed_convolution_by_matrix",
    "variable",
]
