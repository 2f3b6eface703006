"""The words there are, how each is written, and which one was probably meant."""

from __future__ import annotations

import difflib
import re

# Each word, and how it is written: shown when a word cannot be read.
FORMS = {
    "conv": "conv3-64 or conv5x3-64/2x1p0x1g2d1b0c",
    "local": "local3-64 or local3-64/2p0",
    "tconv": "tconv3-64/2",
    "whiten": "whiten2",
    "maxpool": "maxpool2 or maxpool3/2p1c",
    "avgpool": "avgpool2 or avgpool3/2p1c",
    "l2pool": "l2pool2 or l2pool3/2",
    "gap": "gap",
    "fc": "fc-10 or fc-10b0",
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "silu": "silu",
    "leaky": "leaky",
    "identity": "identity",
    "softmax": "softmax",
    "bn": "bn or bnw0m0.4e1e-5",
    "ln": "ln",
    "lrn": "lrn",
    "dropout": "dropout0.5",
    "nearest": "nearest2",
    "nails": "nails2",
    "unpool": "unpool2",
    "reshape": "reshape7x7x32",
    "code": "code",
    "scale": "scale0.5 or scale1/256",
    "skip": "( conv3-64 + skip )",
    "input": "input 32x32x3",
}


# What others call a layer, and what it is here.
OTHER_NAMES = {
    "add": "branches are added by ( a + b )",
    "batchnorm": "batch normalisation is written bn",
    "concat": "branches are concatenated by ( a | b )",
    "deconv": "a transposed convolution is written tconv3-64/2",
    "dense": "a fully connected layer is written fc-10",
    "flatten": "fc-10 flattens what comes by itself",
    "layernorm": "layer normalisation is written ln",
    "linear": "a fully connected layer is written fc-10",
    "logistic": "the logistic function is written sigmoid",
    "pool": "a pooling is written maxpool2, avgpool2 or l2pool2",
    "swish": "did you mean silu?",
    "upsample": "unpooling is written nearest2, nails2 or unpool2",
}


def is_word(text: str) -> bool:
    """Whether a name is, or begins like, a layer with its sizes."""
    kind = word_kind(text)
    return kind in FORMS and re.fullmatch(r"([-\d].*)?", text[len(kind) :]) is not None


def suggest(text: str, names: tuple[str, ...] = ()) -> str:
    """A word near to an unknown one, as a hint."""
    kind = word_kind(text.lower())
    if kind in OTHER_NAMES:
        return OTHER_NAMES[kind]
    near = difflib.get_close_matches(kind, [*FORMS, *names], n=1, cutoff=0.6)
    if kind in FORMS:
        near = [kind]
    if not near:
        return "known words: " + " ".join(FORMS)
    return f"did you mean {FORMS.get(near[0], near[0])}?"


def word_kind(text: str) -> str:
    """The name that a word begins with: "conv" for `conv3-64`, "bn" for `bnw0`."""
    for kind in sorted(FORMS, key=lambda name: -len(name)):
        if text.startswith(kind):
            return kind
    return re.split(r"[-\d/.]", text)[0] or text
