"""The optimisers, and which of them moves which parameter at which rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.nets.layers import Whiten
from striate.training.head import Head, find_head
from striate.training.muon import Filters, Muon
from striate.training.rules import Adam, Descent, Memory, RmsProp, Rule
from striate.training.sections import Optimizer

REFERENCE_WIDTH = 256  # of the net in which the head's rate was found
SHIFT_PACE = 64  # how much faster the records move the shifts of normalisation than is usual
PLAIN_PACE = 1 / 4  # of filters whose outputs are not normalised
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True, eq=False)
class Side:
    """Parameters that share a rate.

    Args:
        parameters: Which.
        rate: At factor 1.
        decay: Added to the gradient, times the parameter.
        whitening: Whether they follow the whitening's factor.
    """

    parameters: list[nn.Parameter]
    rate: float
    decay: float
    whitening: bool = False


class Optimizers:
    """One or two optimisers that step together, their rates scaled by one factor.

    Args:
        module: The net.
        sides: Its parameters, but for those of `muon`.
        rule: How they move.
        muon: The optimiser of the filters, where it is another.
    """

    def __init__(
        self, module: nn.Module, sides: list[Side], rule: Rule, muon: Muon | None = None
    ) -> None:
        self._names = {parameter: name for name, parameter in module.named_parameters()}
        self._sides = sides
        self._rule = rule
        self._muon = muon
        self._memories: dict[nn.Parameter, Memory] = {
            parameter: {} for side in sides for parameter in side.parameters
        }

    @torch.no_grad()
    def step(self, factor: float, *, whiten_factor: float = 0.0) -> None:
        """Move the parameters by their gradients.

        Args:
            factor: Scales every rate but the whitening's.
            whiten_factor: Scales the rate of the whitening layer's bias. At 0 the bias is frozen:
                from then on no gradient is computed for it, nor for the layer's output.
        """
        self._freeze_whitening(whiten_factor == 0)
        for side in self._sides:
            moved = [p for p in side.parameters if p.grad is not None]
            if moved:
                self._rule.move(
                    list(moved),
                    [p.grad for p in moved if p.grad is not None],
                    [self._memories[p] for p in moved],
                    rate=side.rate * (whiten_factor if side.whitening else factor),
                    decay=side.decay,
                )
        if self._muon is not None:
            self._muon.step(factor)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._names:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """What is remembered of each parameter, by its name: tensors, strings and numbers only.

        Returns:
            "memory": name -> what -> tensor; "frozen": whether the whitening's bias is.
        """
        memory = {self._names[parameter]: kept for parameter, kept in self._memory().items()}
        return {"memory": memory, "frozen": any(not p.requires_grad for p in self._whitening())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, to the same weights.

        Raises:
            ValueError: If it is that of another net.
        """
        saved: dict[str, Memory] = state["memory"]
        unknown = saved.keys() - self._names.values()
        if unknown:
            raise ValueError(f"optimiser state of unknown parameters: {', '.join(sorted(unknown))}")
        filters = {} if self._muon is None else self._muon.memory
        for parameter, name in self._names.items():
            kept = {
                key: _laid_out_as(parameter, tensor) for key, tensor in saved.get(name, {}).items()
            }
            if parameter in filters:
                filters[parameter]["momentum"].copy_(kept["momentum"])
            elif parameter in self._memories:
                self._memories[parameter] = kept
        self._freeze_whitening(state["frozen"])

    def _memory(self) -> dict[nn.Parameter, Memory]:
        memory = {} if self._muon is None else self._muon.memory
        return memory | {parameter: kept for parameter, kept in self._memories.items() if kept}

    def _whitening(self) -> Iterator[nn.Parameter]:
        for side in self._sides:
            if side.whitening:
                yield from side.parameters

    def _freeze_whitening(self, frozen: bool) -> None:
        for bias in self._whitening():
            bias.requires_grad_(not frozen)
            if frozen:
                bias.grad = None


def _laid_out_as(parameter: Tensor, saved: Tensor) -> Tensor:
    """A copy in the parameter's own memory order, on which the order of additions depends."""
    if saved.ndim == 0:  # a count of steps
        return saved.clone()
    if saved.shape != parameter.shape:
        shapes = f"{tuple(saved.shape)} for a parameter of {tuple(parameter.shape)}"
        raise ValueError(f"optimiser state of shape {shapes}")
    return torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)


def make_optimizers(
    module: nn.Module,
    optimizer: Optimizer,
    *,
    batch_size: int,
    precision: str = "fp32",
    body_rate: float = 1.0,
    kernels: bool = True,
) -> Optimizers:
    """The optimisers that a recipe names, for the parameters of a net that have a gradient.

    - `sgd`: w <- w - lr g.
    - `momentum`: m <- b m + g; w <- w - lr m. (Deck 000 writes b G(t-1) + G(t) with G the gradient
      alone, which would remember one step; the running sum m is meant, and equal for two steps.)
    - `nesterov`: m <- b m + g; w <- w - lr (g + b m).
    - `rmsprop`: s <- beta2 s + (1 - beta2) g^2; m <- b m + g / (sqrt(s) + epsilon); w <- w - lr m;
      deck 000's with b = 0.
    - `adam`, `adamw`: with momentum as beta1; deck 000's, with epsilon beside the root.
    - `muon`: see `Muon`, for filters and hidden fully connected weights; Nesterov SGD for the rest.

    `weight_decay` adds its product with the parameter to the gradient, but for `adamw`, where
    w <- (1 - lr weight_decay) w, and `muon`, where it is that of the rest, as below.

    Muon's side rates and decay are those of the public records, which *sum* the loss over a batch;
    ours is the mean. Their step on the sum, with rate r and a decay of d for each image, is
    w <- w - r (B g + B d / r w), where g is the gradient of the mean. That is r B (g + d / r w): a
    step on the mean with rate r B and decay d / r. With these, the recipe's numbers mean the same
    at any batch size. The groups:

    - The head, logits = s (W x + b). A step of rate r changes the logits by r s^2 |x|^2 times the
      gradient, and |x|^2 grows with the fan-in n; so r = `head_lr` / (256 n s^2): `head_lr` itself
      in the net of the records (n = 256, s = 1/256), 1 / (256 n) of it where nothing is scaled. The
      head's bias is a weight of an input that is always 1: the same rate.
    - Shifts of normalisation: `side_lr`, which is 64 times what is usual.
    - Gains of normalisation and biases of other layers: `side_lr` / 64, without decay.
    - The whitening layer's bias: `side_lr`, with a factor of its own.

    Filters without normalisation right after them move at a quarter of `lr`: at the whole, and with
    fast biases, a plain VGG of eleven layers does not learn; so, it learns faster than by Adam.

    Args:
        module: The net, where it will train and in the memory format that it will train in.
        optimizer: The recipe's section.
        batch_size: B.
        precision: "fp32" or "bf16", for Muon's matrix products.
        body_rate: Multiplies the rates of all layers but the head.
        kernels: Whether Muon may use its compiled operator.
    """
    if optimizer.name != "muon":
        return Optimizers(module, _plain_groups(module, optimizer, body_rate), _rule(optimizer))
    filters, sides = _muon_groups(module, optimizer, batch_size, body_rate)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    muon = Muon(filters, lr=optimizer.lr, momentum=optimizer.momentum, dtype=dtype, kernels=kernels)
    return Optimizers(module, sides, _rule(optimizer), muon)


def _plain_groups(module: nn.Module, optimizer: Optimizer, body_rate: float) -> list[Side]:
    """The body, the head and the whitening's bias."""
    found = find_head(module)
    head = [] if found is None else list(found.layer.parameters())
    whitening = _whitening_biases(module)
    apart = {*head, *whitening}
    rest = [p for p in module.parameters() if p.requires_grad and p not in apart]
    rate, decay = optimizer.lr, optimizer.weight_decay
    sides = [
        Side(rest, rate * body_rate, decay),
        Side(head, rate, decay),
        Side(whitening, rate * body_rate, decay, whitening=True),
    ]
    return [side for side in sides if side.parameters]


def _rule(optimizer: Optimizer) -> Rule:
    """The rule of all parameters but Muon's filters."""
    momentum, beta2, epsilon = optimizer.momentum, optimizer.beta2, optimizer.epsilon
    match optimizer.name:
        case "sgd":
            return Descent()
        case "momentum" | "nesterov":
            return Descent(momentum, nesterov=optimizer.name == "nesterov")
        case "rmsprop":
            return RmsProp(beta2, epsilon, momentum)
        case "adam":
            return Adam(momentum, beta2, epsilon)
        case "adamw":
            return Adam(momentum, beta2, epsilon, decoupled=True)
        case "muon":
            return Descent(optimizer.side_momentum, nesterov=True)


def _muon_groups(
    module: nn.Module, optimizer: Optimizer, batch_size: int, body_rate: float = 1.0
) -> tuple[list[Filters], list[Side]]:
    """Share the parameters out: filters for Muon, the rest for SGD."""
    head = find_head(module)
    filters: list[Filters] = []
    heads: list[nn.Parameter] = []
    shifts: list[nn.Parameter] = []
    usual: list[nn.Parameter] = []
    layers = [layer for layer in module.modules() if list(layer.parameters(recurse=False))]
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        for name, parameter in layer.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if head is not None and layer is head.layer:
                heads.append(parameter)
            elif name == "weight" and parameter.ndim > 1:
                pace = 1.0 if isinstance(after, NORMS) else PLAIN_PACE
                filters.append(Filters.of(layer, parameter, pace * body_rate))
            elif name == "bias" and isinstance(layer, NORMS):
                shifts.append(parameter)
            elif not isinstance(layer, Whiten):
                usual.append(parameter)
    decay, side_rate = optimizer.weight_decay, optimizer.side_lr
    head_rate = _head_rate(head, optimizer)
    body, body_decay = side_rate * batch_size * body_rate, decay / side_rate
    sides = [
        Side(heads, head_rate * batch_size, decay / head_rate),
        Side(shifts, body, body_decay),
        Side(usual, body / SHIFT_PACE, 0.0),
        Side(_whitening_biases(module), body, body_decay, whitening=True),
    ]
    return filters, [side for side in sides if side.parameters]


def _head_rate(head: Head | None, optimizer: Optimizer) -> float:
    if head is None:
        return optimizer.head_lr
    return optimizer.head_lr / (REFERENCE_WIDTH * head.fan_in * head.scale**2)


def _whitening_biases(module: nn.Module) -> list[nn.Parameter]:
    layers = [layer for layer in module.modules() if isinstance(layer, Whiten)]
    return [layer.bias for layer in layers if layer.bias.requires_grad]
