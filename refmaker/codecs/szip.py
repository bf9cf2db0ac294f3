"""Whether szip's stored bytes hold a whole chunk: libaec, whose decoder libhdf5 calls, does not say.

Contract: `pixel_bytes` tells how many bytes of pixels there are and how many there have to be; it raises `Unsupported`
where that cannot be found out. Rows of pixels that are no multiple of a block are padded before they are compressed.
When libaec takes the padding away again, it goes by what the rows should be, not by what it has decoded, and hands on
the memory that lies behind: `SZ_BufftoBuffDecompress` of sz_compat.c. Without padding the decoded size is told, and
`size_check` sees it. So a padded chunk is decoded twice, once for its size alone, by the same function of the same
library, on the very bytes that szip is given, whatever filters stand above it.

Layout of the stored bytes: H5Zszip.c. Of `aec_stream`: libaec.h.

| offset | size | what |
|---|---|---|
| 0 | 4 | size before compression, little-endian |
| 4 | | the stream |
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.h5py_library import exported

__all__ = ["is_padded", "pixel_bytes"]

_WHAT = "szip chunk"
_HEAD = 4
_MSB, _NEAREST_NEIGHBOUR = 16, 32  # szlib.h: SZ_MSB_OPTION_MASK, SZ_NN_OPTION_MASK
_AEC_MSB, _AEC_PREPROCESS = 4, 8  # libaec.h: AEC_DATA_MSB, AEC_DATA_PREPROCESS


class _Stream(ctypes.Structure):
    """struct aec_stream."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("total_in", ctypes.c_size_t),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
        ("total_out", ctypes.c_size_t),
        ("bits_per_sample", ctypes.c_uint),
        ("block_size", ctypes.c_uint),
        ("rsi", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("state", ctypes.c_void_p),
    )


def is_padded(client_data: Sequence[int]) -> bool:
    """Return whether a row of pixels is no multiple of a block, so that rows are padded."""
    return len(client_data) >= 4 and client_data[1] > 0 and client_data[3] % client_data[1] != 0


def pixel_bytes(data: bytes, client_data: Sequence[int]) -> tuple[int, int]:
    """Return how many bytes the pixels take that stored bytes hold, and those of all pixels of the chunk.

    Parameters
    ----------
    data
        What szip is given to decode.
    client_data
        Of the filter, as `parameters` has checked it: options, pixels of a block, bits of a pixel, pixels of a row.

    Raises
    ------
    Unsupported
        h5py has no libaec with it, so nobody can tell.
    """
    options, in_block, bits, in_row = client_data[:4]
    pixel_bits = 8 if bits in (32, 64) else bits  # libaec takes wider pixels apart, a byte a plane
    pixel_size = 1 if pixel_bits <= 8 else 2 if pixel_bits <= 16 else 4
    pixels = -(-int.from_bytes(data[:_HEAD], "little") // pixel_size)
    blocks = -(-in_row // in_block)
    padded_row = blocks * in_block * pixel_size
    rows, rest = divmod(pixels, in_row)
    needed = rows * padded_row + rest * pixel_size - (0 if rest else padded_row - in_row * pixel_size)
    flags = (_AEC_MSB if options & _MSB else 0) | (_AEC_PREPROCESS if options & _NEAREST_NEIGHBOUR else 0)
    stream = _Stream(bits_per_sample=pixel_bits, block_size=in_block, rsi=blocks, flags=flags)
    return _decoded_size(stream, data[_HEAD:], (rows + (rest > 0)) * padded_row), needed


def _decoded_size(stream: _Stream, data: bytes, room: int) -> int:
    """Return how many bytes the stream gives; those of a damaged one, 0, libhdf5 refuses by itself."""
    if room > limits.DECODED_FLIGHT:
        raise Unsupported("padded rows of a chunk", structure=_WHAT, expected=f"<= {limits.DECODED_FLIGHT}", got=room)
    out = ctypes.create_string_buffer(room)
    source = ctypes.create_string_buffer(data, max(len(data), 1))
    stream.next_in, stream.avail_in = ctypes.addressof(source), len(data)
    stream.next_out, stream.avail_out = ctypes.addressof(out), room
    status = _decoder()(ctypes.byref(stream))
    return 0 if status else stream.total_out


@cache
def _decoder() -> Any:
    """Return `aec_buffer_decode` of the libaec that the libhdf5 of h5py was linked with."""
    function = exported("aec_buffer_decode")
    if function is None:
        raise Unsupported(
            "rows that are no multiple of a block cannot be told from damaged ones without libaec, which h5py lacks",
            structure=_WHAT,
        )
    function.restype, function.argtypes = ctypes.c_int, (ctypes.c_void_p,)
    return function
