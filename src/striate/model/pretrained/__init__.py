"""Weights that were trained elsewhere: files with the names of torchvision, timm and others.

Which tensor goes where follows from the order, the kinds and the shapes of the layers, not from a
table for each architecture: `order` says what names tell of the order, `match` searches.
"""

from striate.model.pretrained.settings import InputSettings
from striate.model.pretrained.weights import Fitted, Pretrained, open_pretrained

__all__ = ["Fitted", "InputSettings", "Pretrained", "open_pretrained"]
