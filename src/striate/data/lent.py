"""The pixels of a Pillow image as an array over Pillow's own memory.

Pillow keeps three channels in four bytes. It lends them by the C data interface of Apache Arrow; a
copy of a photo takes as long as a twentieth to a tenth of its decoding.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

import numpy as np
import PIL
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

_find_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_capsule_pointer = _find_pointer(("PyCapsule_GetPointer", ctypes.pythonapi))

_LENDS = (11, 3)  # the version of Pillow from which on what it lent is freed


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
    shape = image.height, image.width, 4
    if _can_lend(image):
        with suppress(ValueError, MemoryError):  # a large image lies in several blocks
            capsules = image.__arrow_c_array__()
            array = _ArrowArray.from_address(_capsule_pointer(capsules[1], b"arrow_array"))
            colours = array.children[0].contents
            if colours.length == np.prod(shape):
                return np.asarray(_Lent(colours.buffers[1], shape, capsules))[:, :, :3]
    return np.asarray(image, np.uint8).reshape(*shape[:2], len(image.getbands()))


def _can_lend(image: Image.Image) -> bool:
    """Whether its rows lie together, which an alignment asked of Pillow may prevent."""
    version = tuple(int(part) for part in PIL.__version__.split(".")[:2])
    core = Image.core  # type: ignore[attr-defined]
    together = version >= _LENDS and core.get_alignment() == 1
    return together and image.mode == "RGB" and min(image.size) > 0
