"""Prediction in ONNX Runtime, of graphs as an exporter leaves them: batch norm folded away.

python onnx_inference.py NET IMAGE ARRAYS      # an arm: see serving.py
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from predicting import make_measure
from serving import serve

CLASSES, OPSET = 10, 20


class Graph:
    """Nodes one after the other, with random weights."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.nodes, self.weights = [], []
        self.generator = np.random.default_rng(0)
        height, width, channels = shape
        # the normalisation of the pixels is part of the graph
        self.size = ("N", channels, height, width)
        self.last = self.add(
            "Div", self.add("Sub", "images", self.weight(120.0)), self.weight(60.0)
        )

    def weight(self, value: np.ndarray | float) -> str:
        """A constant of the graph; returns its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """A node; returns the name of its output."""
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def drawn(self, *shape: int) -> str:
        """Random weights of that shape, small enough that the values stay so."""
        fan_in = np.prod(shape[1:])
        return self.weight(self.generator.normal(0, fan_in**-0.5, shape))

    def conv(
        self, x: str, sizes: tuple[int, int], kernel: int, *, stride: int = 1, pad: int
    ) -> str:
        """A convolution with a bias, from and to so many channels."""
        inputs, outputs = sizes
        weights = (self.drawn(outputs, inputs, kernel, kernel), self.weight(np.zeros(outputs)))
        return self.add("Conv", x, *weights, strides=[stride] * 2, pads=[pad] * 4)

    def pool(self, kind: str, x: str, side: int) -> str:
        """Pooling of windows that do not overlap."""
        return self.add(kind, x, kernel_shape=[side] * 2, strides=[side] * 2)

    def full(self, x: str, inputs: int, outputs: int) -> str:
        """A fully connected layer."""
        weights = (self.drawn(outputs, inputs), self.weight(np.zeros(outputs)))
        return self.add("Gemm", x, *weights, transB=1)

    def session(self, logits: str) -> onnxruntime.InferenceSession:
        """The graph, ready to run."""
        self.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"]))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, self.size)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ("N", CLASSES))],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def lenet5(graph: Graph) -> str:
    """LeNet-5 on 28x28x1."""
    x = graph.last
    for sizes in ((1, 6), (6, 16)):
        x = graph.pool("AveragePool", graph.add("Tanh", graph.conv(x, sizes, 5, pad=0)), 2)
    x = graph.add("Flatten", x)
    for sizes in ((256, 120), (120, 84)):
        x = graph.add("Tanh", graph.full(x, *sizes))
    return graph.full(x, 84, CLASSES)


def whitened(graph: Graph) -> str:
    """The default net for CIFAR-10."""
    x = graph.add("Gelu", graph.conv(graph.last, (3, 24), 2, pad=0))
    for inputs, outputs in ((24, 64), (64, 256), (256, 256)):
        x = graph.pool("MaxPool", graph.conv(x, (inputs, outputs), 3, pad=1), 2)
        x = graph.add("Gelu", graph.conv(graph.add("Gelu", x), (outputs, outputs), 3, pad=1))
    return graph.full(graph.add("Flatten", graph.add("GlobalMaxPool", x)), 256, CLASSES)


def resnet18(graph: Graph) -> str:
    """ResNet-18 in its form for small images."""
    x, inputs = graph.add("Relu", graph.conv(graph.last, (3, 64), 3, pad=1)), 64
    for width in (64, 64, 128, 128, 256, 256, 512, 512):
        stride = 1 if width == inputs else 2
        skip = x if stride == 1 else graph.conv(x, (inputs, width), 1, stride=2, pad=0)
        x = graph.add("Relu", graph.conv(x, (inputs, width), 3, stride=stride, pad=1))
        x = graph.add("Relu", graph.add("Add", graph.conv(x, (width, width), 3, pad=1), skip))
        inputs = width
    return graph.full(graph.add("Flatten", graph.add("GlobalAveragePool", x)), 512, CLASSES)


NETS = {"lenet5": lenet5, "whitened": whitened, "resnet18": resnet18}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("image", help="a file")
    parser.add_argument("arrays", help="an .npz with images")
    options = parser.parse_args()
    graph = Graph(np.load(options.arrays)["images"].shape[1:])
    session = graph.session(NETS[options.net](graph))

    def probabilities(images: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        return session.run(None, {"images": pixels})[0]

    serve(make_measure(probabilities, options.image, options.arrays), "onnxruntime", "pillow")


if __name__ == "__main__":
    main()
