"""The pixels of a Pillow image as an array over Pillow's own memory.

Pillow keeps three channels in four bytes. It lends them by the C data interface of Apache Arrow,
from 11.3 on; a copy of a photo takes as long as a tenth of its decoding.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from PIL import Image

from striate.data.resize import Pixels


class _ArrowArray(ctypes.Structure):
    """`ArrowArray` of the interface."""


_ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset")),
    *((name, ctypes.c_int64) for name in ("n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    *((name, ctypes.c_void_p) for name in ("dictionary", "release", "private_data")),
]

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


class _Lent:
    """What NumPy makes an array of; the capsules keep Pillow's memory alive for it."""

    def __init__(self, address: int, shape: tuple[int, ...], capsules: object) -> None:
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": shape,
            "data": (address, True),  # to be read only
        }
        self._capsules = capsules


def pixels_of(image: Image.Image) -> Pixels:
    """The pixels of an image in mode "L" or "RGB", decoded already.

    Returns:
        uint8 (H, W, C), read-only; of three channels with a byte to spare behind each pixel, where
        Pillow lends its memory. The array keeps that memory alive.
    """
    lend: Any = getattr(image, "__arrow_c_array__", None)
    if image.mode == "RGB" and lend is not None:
        try:
            capsules = lend()
        except (ValueError, MemoryError):  # a large image lies in several blocks
            capsules = None
        if capsules is not None:
            array = _ArrowArray.from_address(_capsule_pointer(capsules[1], b"arrow_array"))
            colours = array.children[0].contents
            if colours.length == 4 * image.width * image.height:
                shape = (image.height, image.width, 4)
                return np.asarray(_Lent(colours.buffers[1], shape, capsules))[:, :, :3]
    return np.asarray(image, np.uint8).reshape(image.height, image.width, -1)
