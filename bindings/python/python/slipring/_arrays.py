"""Arrays, where NumPy is there. The native module imports this when an array is first asked for."""

import math
from collections.abc import Iterable
from typing import Any, SupportsIndex

from .errors import InvalidArgument, Unsupported

try:
    import numpy as np
except ImportError:
    raise Unsupported("arrays need NumPy, which is not installed: pip install numpy") from None

ndarray = np.ndarray


def measure(shape: SupportsIndex | Iterable[SupportsIndex], dtype: Any) -> tuple["np.dtype[Any]", int]:
    """The element type, and how many bytes an array of `shape` has."""
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise InvalidArgument(f"an array of {kind} holds Python objects, which mean nothing in another process")
    lengths = [int(length) for length in shape] if isinstance(shape, Iterable) else [shape.__index__()]
    if any(length < 0 for length in lengths):
        raise InvalidArgument(f"a shape has no negative lengths: {shape!r}")
    return kind, kind.itemsize * math.prod(lengths)


def freeze(array: object) -> None:
    """Makes an array read-only that the peer reads from now on."""
    while isinstance(array, memoryview):
        array = array.obj
    while isinstance(array, np.ndarray):
        array.setflags(write=False)
        array = array.base


def from_dlpack(tensor: Any) -> Any:
    """The array of an object that only speaks DLPack, such as a tensor of another library's, in this machine's memory."""
    return np.from_dlpack(tensor)
