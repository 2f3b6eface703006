"""A small model's file, and ways to damage it: what the tests of hostile files share."""

import json

import pytest
import torch

from striate.data import Preprocessing
from striate.errors import ModelError
from striate.model import Model, load_model, load_tensors, save_tensors
from striate.nets import parse_net


def small_model():
    """A net of three classes for images of 8x8."""
    torch.manual_seed(0)
    net = parse_net("conv3-4 bn relu gap fc-3")
    module = net.build((8, 8, 3))
    return Model(module.net, module, ("a", "b", "c"), Preprocessing(size=(8, 8), channels=3))


def refusal(path):
    """The one line with which a file is refused as a model."""
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert caught.value.status == 4
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_document(path, **changes):
    """Change a model's document, and seal it with right checksums, as an attacker would."""
    tensors, document = load_tensors(path)
    save_tensors(path, tensors, document | changes)


def change_header(path, change):
    """Change the header of a file and announce its new length rightly."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = change(header) or json.dumps(header)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + content[8 + length :])
