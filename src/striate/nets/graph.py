"""The layers of a net as plain values, and the graph that they form.

A graph is a chain: a tuple of `Step` (one layer) and `Parallel` (branches, each a chain of its own,
that are concatenated or added). Repeats and definitions are written out, so two texts with the same
chain are the same net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from striate.nets.source import Place

Pair = tuple[int, int]  # height, width

MOST_LAYERS = 10_000  # of a whole net, written out


@dataclass(frozen=True)
class Convolution:
    """`conv` and `local`: K kernels of Fh x Fw; `shared` weights make it a convolution.

    `bias` None means: a bias unless batch normalisation follows directly. `ceil` rounds the output
    size up.
    """

    kernel: Pair
    channels: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    dilation: Pair = (1, 1)
    bias: bool | None = None
    ceil: bool = False
    shared: bool = True


@dataclass(frozen=True)
class TransposedConvolution:
    """`tconv`: the transposed map of a convolution.

    `ceil` takes the largest of the input sizes that the convolution would map to this one.
    """

    kernel: Pair
    channels: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    dilation: Pair = (1, 1)
    bias: bool | None = None
    ceil: bool = False


@dataclass(frozen=True)
class Whiten:
    """`whiten2`: 2*F*F*C frozen filters, set from the data, with a bias that is trained."""

    kernel: Pair


@dataclass(frozen=True)
class Pool:
    """`maxpool`, `avgpool`, `l2pool`; `ceil` rounds the output size up."""

    kind: Literal["max", "avg", "l2"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil: bool = False


@dataclass(frozen=True)
class GlobalAverage:
    """`gap`: the mean over all positions."""


@dataclass(frozen=True)
class Full:
    """`fc`: fully connected; flattens its input."""

    units: int
    bias: bool = True


@dataclass(frozen=True)
class Activation:
    """`relu`, `tanh`, `sigmoid`, `gelu`, `silu`, `leaky`, `identity`, `softmax`."""

    name: str


@dataclass(frozen=True)
class BatchNorm:
    """`bn`; `momentum` is the weight of the new batch in the running statistics."""

    scale: bool = True
    momentum: float = 0.1
    epsilon: float = 1e-5


@dataclass(frozen=True)
class LayerNorm:
    """`ln`: each image normalised over all its values, then scaled and shifted by channel."""


@dataclass(frozen=True)
class ResponseNorm:
    """`lrn`: AlexNet's local response normalisation (n=5, k=2, alpha=1e-4, beta=0.75)."""


@dataclass(frozen=True)
class Dropout:
    """`dropout0.5`: zeroes this share of the values while training."""

    rate: float


@dataclass(frozen=True)
class Upsample:
    """`nearest2` and `nails2`: each value repeated, or put at the top left of zeros."""

    kind: Literal["nearest", "nails"]
    factor: Pair


@dataclass(frozen=True)
class Unpool:
    """`unpool2`: puts each value back where the paired `maxpool` found its maximum."""

    factor: Pair


@dataclass(frozen=True)
class Reshape:
    """`reshape7x7x32`: the same values as H x W x C, channel after channel in memory."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Code:
    """`code`: marks the bottleneck of an autoencoder; the identity."""


@dataclass(frozen=True)
class Scale:
    """`scale1/256`: multiplies by a constant."""

    numerator: float
    denominator: float = 1.0


Layer = (
    Convolution
    | TransposedConvolution
    | Whiten
    | Pool
    | GlobalAverage
    | Full
    | Activation
    | BatchNorm
    | LayerNorm
    | ResponseNorm
    | Dropout
    | Upsample
    | Unpool
    | Reshape
    | Code
    | Scale
)


@dataclass(frozen=True)
class Step:
    """One layer in the graph.

    Attributes:
        name: Unique in the net: the word and its count, "conv1", "bn3".
        layer: What it is.
        text: Its word, with the parameters of a definition filled in.
        place: Where its word stands in the text.
        used: The outermost use of a definition that it comes from, if any.
    """

    name: str
    layer: Layer
    text: str = field(default="", compare=False)
    place: Place = field(default=Place(0), compare=False, repr=False)
    used: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Parallel:
    """Branches over one input, added ("add1") or concatenated along the channels ("concat1").

    An empty branch is `skip`, the identity.
    """

    name: str
    join: Literal["add", "concat"]
    branches: tuple[Chain, ...]
    place: Place = field(default=Place(0), compare=False, repr=False)
    used: str | None = field(default=None, compare=False, repr=False)


Chain = tuple[Step | Parallel, ...]


def steps(chain: Chain) -> Iterator[Step]:
    """Every layer of the graph, in the order of the text."""
    for part in chain:
        if isinstance(part, Step):
            yield part
        else:
            for branch in part.branches:
                yield from steps(branch)


@dataclass(frozen=True)
class Volume:
    """The values between two layers, for one image: H x W x C, or K values in a row (`flat`)."""

    height: int
    width: int
    channels: int
    flat: bool = False

    def __str__(self) -> str:
        """As in the lectures: 32x32x3, or the count of values in a row."""
        return str(self.channels) if self.flat else f"{self.height}x{self.width}x{self.channels}"

    @property
    def size(self) -> int:
        """How many values."""
        return self.height * self.width * self.channels
