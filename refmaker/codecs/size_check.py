"""A filter for libhdf5 that lets bytes pass only if there are enough of them.

Contract: libhdf5 (2.0 and before) does not compare what a pipeline gave with the size of a chunk: from a chunk that
decodes to too little, it reads on beyond the end of its buffer and returns what lies there. Standing first in the
pipeline, hence decoding last, this filter sees the decoded size and fails the read instead. Some of libhdf5's own
filters read beyond their input alike; standing after them, it sees what they are about to decode. More bytes than
needed pass, as libhdf5 ignores the rest, up to what a chunk may have (a chunk that decodes to much more is made to cost
time), and up to sizes that are none: libhdf5 takes every value that a plugin returns, but 0, for a size.

The filter is registered once in a process, under an id of the range that is free for internal use, and refuses to
decode for a pipeline that does not carry its mark, should a file use the same id.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Collection

from refmaker.codecs.parameters import RequiredInput
from refmaker.codecs.szip import pixel_bytes
from refmaker.errors import RefmakerError, Unsupported
from refmaker.model import Filter

__all__ = ["refused", "register", "size_check"]

# Before, parts of h5py relied on the GIL in place of its lock, and Python code in a filter lets go of the GIL: two
# threads came into libhdf5 together (h5py pull request 2795)
_LEAST_H5PY = (3, 16)
_IDS = range(511, 255, -1)  # H5Z: 256 to 511 are for internal use
_MARK = (0x6D666572, 0x72656B61)
_VALUES = 12
_PADDED = 8  # from here on, the client data of szip
_NAME = b"refmaker size check"

_Function = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class _Class(ctypes.Structure):
    """H5Z_class2_t."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", ctypes.c_void_p),
        ("filter", _Function),
    )


class _Seen(threading.local):
    """The last chunk that was refused in this thread: its size and the one needed; None if none was."""

    refused: tuple[int, int] | None = None


_seen = _Seen()
_registered: dict[int, _Class] = {}  # libhdf5 keeps the functions, so they must outlive every use
_lock = threading.Lock()


def _check(flags: int, count: int, values: ctypes.Array[ctypes.c_uint], size: int, allocated: int, data: int) -> int:
    if count != _VALUES or (values[0], values[1]) != _MARK:
        return 0
    if size > sys.maxsize:  # a negative number: what plugins return as errors
        return 0
    most = values[6] | values[7] << 32
    if most and size > most:
        return 0
    needed, per_bit, largest = values[2] | values[3] << 32, values[4], values[5]
    if largest and size >= needed:
        start = ctypes.c_void_p.from_address(data).value  # `data` is a void **
        first = int.from_bytes(ctypes.string_at(start or 0, 4), "little")
        if first > largest:
            return 0
        if values[_PADDED + 1]:
            return _checked_pixels(start or 0, size, values[_PADDED:_VALUES])
        needed += (per_bit * first + 7) // 8
    if size < needed:
        _seen.refused = size, needed
        return 0
    return size


def _checked_pixels(start: int, size: int, client_data: list[int]) -> int:
    """Return the size of bytes that hold all pixels, else 0. No error may leave a function that libhdf5 calls."""
    try:
        given, needed = pixel_bytes(ctypes.string_at(start, size), client_data)
    except RefmakerError:
        return 0
    if given < needed:
        _seen.refused = given, needed
        return 0
    return size


_function = _Function(_check)


def size_check(number: int, required: RequiredInput, most: int = 0) -> Filter:
    """Return the filter, registered as `number`, that lets pass what is large enough, and `most` bytes; 0 for any."""
    size, low = required.size, 0xFFFFFFFF
    bounds = size & low, size >> 32, required.per_bit, required.largest, most & low, most >> 32
    padded = (*required.padded[:4], 0, 0, 0, 0)[:4]
    return Filter(number, "", False, (*_MARK, *bounds, *padded))


def refused() -> tuple[int, int] | None:
    """Return, once, what the filter last refused in this thread: the size and the size needed; None if nothing."""
    last, _seen.refused = _seen.refused, None
    return last


def register(others: Collection[int]) -> int:
    """Register the filter with the libhdf5 of h5py.

    Parameters
    ----------
    others
        Ids of the filters beside which it will stand.

    Returns
    -------
    int
        Its id, none of `others`.
    """
    from h5py import h5z, version

    if version.version_tuple[:2] < _LEAST_H5PY:
        raise Unsupported("too old an h5py", structure="HDF5 codec", expected=">= 3.16", got=version.version)
    with _lock:
        for number in _registered:
            if number not in others:
                return number
        for number in _IDS:
            if number not in others and not h5z.filter_avail(number):
                cls = _Class(1, number, 1, 1, _NAME, None, None, _function)
                h5z.register_filter(ctypes.addressof(cls))
                _registered[number] = cls
                return number
    raise Unsupported("no free filter id", structure="HDF5 codec")
