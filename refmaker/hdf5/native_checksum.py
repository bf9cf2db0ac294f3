"""lookup3 in C: the function that libhdf5 has for its own checksums, from the library that comes with h5py.

Contract: `native_lookup3` gives it, or None where there is none: the library does not export it (it is not of the
public interface), or does not give what it should for known blocks. Nothing else of libhdf5 is called.
H5checksum.c, H5_checksum_lookup3; burtleburtle.net/bob/c/lookup3.c.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.h5py_library import exported

__all__ = ["native_lookup3", "row_sums"]

Lookup3: TypeAlias = Callable[[int | bytes, int, int], int]

_KNOWN = (
    (b"", 0xDEADBEEF),
    (b"Four score and seven years ago", 0x17770551),
    (b"\xff" * 12, 0x6E0964A9),
    (bytes(range(25)), 0x3A882244),
)


@cache
def native_lookup3() -> Lookup3 | None:
    """Return the function: address or bytes of a block, its size, the initial value -> the checksum."""
    import ctypes

    function = exported("H5_checksum_lookup3", holding=True)  # most checksums take less time than letting go
    if function is None:
        return None
    function.restype = ctypes.c_uint32
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)
    right = all(function(block, len(block), 0) == expected for block, expected in _KNOWN)
    return function if right else None


def row_sums(function: Lookup3, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the checksums of the rows of an array of shape (n, size)."""
    count, size = rows.shape
    if size and (rows.strides[1] != 1 or rows.strides[0] < 0):
        rows = np.ascontiguousarray(rows)
    start, stride = rows.ctypes.data, rows.strides[0]
    return np.fromiter((function(start + i * stride, size, 0) for i in range(count)), "u4", count)
