"""Prediction in plain PyTorch: evaluation mode, inference mode, channels_last.

    python pytorch_inference.py NET IMAGE ARRAYS [--precision bf16]     # an arm: see serving.py

In bf16 the weights are bf16 too, so that nothing is cast in a call but the images.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from predicting import make_measure
from pytorch_nets import NETS
from pytorch_whitened import Net, Recipe
from serving import serve

CLASSES = 10


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("net", choices=(*NETS, "whitened"))
    parser.add_argument("image", help="a file")
    parser.add_argument("arrays", help="an .npz with images")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    made = (
        Net(3, Recipe().widths, CLASSES)
        if options.net == "whitened"
        else NETS[options.net](CLASSES)
    )
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    net = made.eval().to(memory_format=torch.channels_last, dtype=dtype)

    @torch.inference_mode()
    def probabilities(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels_last
        normalised = (pixels.float() - 120.0) / 60.0
        return torch.softmax(net(normalised.to(dtype)).float(), 1).numpy()

    serve(make_measure(probabilities, options.image, options.arrays), "torch", "pillow")


if __name__ == "__main__":
    main()
