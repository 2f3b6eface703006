"""A net: its canonical text, and what can be done with it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import NetError
from striate.nets import rewrite
from striate.nets.adapt import adapted_to
from striate.nets.expand import expand
from striate.nets.forms import is_word
from striate.nets.graph import Chain, Volume
from striate.nets.parse import LONGEST_TEXT, parse_text
from striate.nets.picture import draw_picture
from striate.nets.shapes import Traced, trace
from striate.nets.source import LocatedNetError
from striate.nets.summary import Summary, summarize
from striate.nets.syntax import Text, print_text
from striate.nets.zoo import find_zoo_net, zoo_nets

if TYPE_CHECKING:
    from striate.nets.build import NetModule

Size = tuple[int, int, int]  # H, W, C

LARGEST_SIDE = 1_000_000
LARGEST_FILE = 1_000_000  # bytes


@dataclass(frozen=True)
class Net:
    """A net, equal to another if their canonical texts are equal.

    Attributes:
        text: The canonical text; parses back to the same graph.
        input: H, W, C of the images it was written for, or None.
        graph: Every layer, with repeats and definitions written out.
    """

    text: str
    input: Size | None = field(compare=False)
    graph: Chain = field(compare=False, repr=False)
    syntax: Text = field(compare=False, repr=False)
    source: str = field(compare=False, repr=False)

    def __str__(self) -> str:
        """The canonical text."""
        return self.text

    def trace(self, input: Size | None = None) -> Traced:
        """Every volume of the net on images of `input` (H, W, C), by default its own.

        Raises:
            NetError: Where a layer does not fit.
        """
        return trace(self.graph, _volume(input or self.input), self.source)

    def summary(
        self,
        input: Size | None = None,
        *,
        batch: int = 1,
        classes: int | None = None,
        compare_fc: bool = False,
        object: int | None = None,
    ) -> Summary:
        """What every layer gives and costs, on images of `input` (H, W, C).

        Args:
            input: Height, width, channels; by default the net's own.
            batch: Images in a training step, for the predicted memory.
            classes: Replaces the width of the last fully connected layer.
            compare_fc: Puts beside each convolution the parameters that a locally and a fully
                connected layer would have.
            object: Pixels of the smaller side of what is to be recognised, for the warnings; by
                default half of the image's smaller side.

        Raises:
            NetError: Where a layer does not fit its input.
        """
        if object is not None and object < 1:
            raise NetError(f"an object of {object} pixels", hint="1 or more")
        net = self if classes is None else self.with_classes(classes)
        traced = net.trace(input)
        return summarize(net.text, traced, batch=batch, compare_fc=compare_fc, object=object)

    def picture(self, input: Size | None = None) -> str:
        """The net on images of `input` (H, W, C) as an SVG file that stands alone.

        Each volume is a box, branches are side by side, and what repeats itself is drawn once.

        Raises:
            NetError: Where a layer does not fit its input, or if there are too many to draw.
        """
        traced = self.trace(input)
        found = summarize(self.text, traced)
        caption = (
            f"{found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds an image, "
            f"{found.depth:,} layers deep"
        )
        return draw_picture(self.syntax, traced, caption)

    def step_seconds(self, input: Size | None = None, *, batch: int = 1) -> float:
        """The predicted time of a training step of `batch` images in fp32 on this CPU.

        Some of the net's layers are measured for it, with PyTorch's current threads, for about a
        second: see `striate.nets.duration.step_seconds`.

        Raises:
            NetError: Where a layer does not fit its input.
        """
        from striate.nets.duration import step_seconds  # noqa: PLC0415 - it measures with PyTorch

        return step_seconds(self.trace(input), batch)

    def build(self, input: Size | None = None) -> NetModule:
        """An ordinary `torch.nn.Module` for images of `input` (H, W, C).

        It is initialised as PyTorch does, from PyTorch's own random numbers.

        Raises:
            NetError: Where a layer does not fit its input, or the net is too large to build.
        """
        from striate.nets.build import build  # noqa: PLC0415 - a net's arithmetic needs no PyTorch

        traced = self.trace(input)
        volume = traced.input
        own = self.with_input((volume.height, volume.width, volume.channels))
        return build(own, traced)

    def with_classes(self, classes: int) -> Net:
        """The same net with `classes` outputs in its last fully connected layer.

        Raises:
            NetError: If the net does not end in a fully connected layer.
        """
        return _net(rewrite.with_classes(self.syntax, classes))

    def with_input(self, input: Size) -> Net:
        """The same net, written for images of `input` (H, W, C)."""
        return self if input == self.input else _net(rewrite.with_input(self.syntax, input))

    def adapted_to(self, input: Size) -> Net:
        """The net for images of `input` (H, W, C): a net for large images becomes one for small.

        A net written for images of more than 64 pixels changes as follows for smaller ones.

        1. Stem, for images of at most 64 pixels: the first convolution, if it has a stride, becomes
           3x3 with stride 1 and padding 1. The pooling after it, if it stands before the second
           convolution, is left out where the map that reaches the head (the first fully connected
           layer or `gap`) then has, as a ratio, more nearly the side it was written for.
        2. Poolings: one whose window is larger than its map, or that would leave a side of 1 to
           convolutions after it, is left out.
        3. Head: a hidden fully connected layer gets no more units than values come to it.

        ResNet-18 becomes the form that is used on CIFAR. What stands in a definition stays.
        """
        return _net(adapted_to(self.syntax, _volume(input)))


def parse_net(text: str) -> Net:
    """The net that a text in Striate's notation describes.

    >>> parse_net("conv3x3-8/1 relu  fc-10").text
    'conv3-8 relu fc-10'

    Raises:
        NetError: With line, column and a caret at what cannot be read.
    """
    if not isinstance(text, str):
        raise NetError(f"a net is a text, not {type(text).__name__}")
    syntax = parse_text(text)
    graph = expand(syntax, text)
    if not graph:
        empty = "definitions alone are no net" if syntax.definitions else "an empty net"
        raise NetError(empty, hint="add layers: conv3-32 relu maxpool2 fc-10")
    canonical = print_text(syntax)
    if len(canonical) > LONGEST_TEXT:  # spaces are added, and it must parse back
        raise NetError(f"a net of {len(canonical)} characters; the limit is {LONGEST_TEXT}")
    return Net(canonical, syntax.input, graph, syntax, text)


def _net(syntax: Text) -> Net:
    return parse_net(print_text(syntax))


def load_net(net: str | Path | Net) -> Net:
    """A net by its name in the zoo, by the path of a `.net` file, or by its text.

    Raises:
        NetError: If it is none of these; the file's path is named.
    """
    if isinstance(net, Net):
        return net
    if isinstance(net, Path) or net.strip().endswith(".net"):
        return _from_file(Path(str(net).strip()))
    name = net.strip()
    entry = find_zoo_net(name)
    if entry is not None:
        return parse_net(entry.text)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) and not is_word(name):
        raise _unknown(name)
    return parse_net(net)


def _unknown(name: str) -> NetError:
    names = [entry.name for entry in zoo_nets()]
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`striate nets` lists the nets that come along"
    return NetError(f"`{name}` is neither a net of the zoo nor a layer", hint=hint)


def _from_file(path: Path) -> Net:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise NetError("more than 1 MB: not a net", path=path)
        return parse_net(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NetError(f"cannot be read: {error.strerror}", path=path) from None
    except UnicodeDecodeError:
        raise NetError("not a text in UTF-8", path=path) from None
    except LocatedNetError as error:
        error.path = str(path)
        raise


def _volume(size: Size | None) -> Volume:
    if size is None:
        raise NetError(
            "the net does not say for what images", hint="give the input size, as in 32x32x3"
        )
    if len(size) != 3 or not all(1 <= side <= LARGEST_SIDE for side in size):
        raise NetError(f"{size} is not an input size", hint="height, width, channels")
    return Volume(*size)
