"""The head of a net: the layer whose outputs are the logits, up to a constant."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from striate.nets.layers import Scale


@dataclass(frozen=True, eq=False)
class Head:
    """The last layer with weights, and the constant that its outputs are multiplied by.

    Args:
        layer: Fully connected, or a convolution in nets that end in pooling.
        scale: s in logits = s (W x + b).
    """

    layer: nn.Module
    scale: float = 1.0

    @property
    def weight(self) -> Tensor:
        """W."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def fan_in(self) -> int:
        """The inputs that one logit is a weighted sum of."""
        if isinstance(self.layer, nn.ConvTranspose2d):
            return self.weight.shape[0] * self.weight[0, 0].numel()
        return self.weight.shape[-1] if self.weight.ndim == 3 else self.weight[0].numel()


def find_head(module: nn.Module) -> Head | None:
    """Find the last layer with a trained weight matrix; None where there is none."""
    head: Head | None = None
    for layer in module.modules():
        if isinstance(layer, Scale) and head is not None:
            head = replace(head, scale=head.scale * layer.factor)
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1:
            head = Head(layer)
    return head
