"""The filters of HDF5 that are undone here: deflate (1), shuffle (2), fletcher32 (3), and those that change nothing.

Contract: pure, output bounded by the size of the chunk. HDF5 filter registry; H5Zdeflate.c, H5Zshuffle.c,
H5Zfletcher32.c.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["IDENTITIES", "OWN", "check_fletcher32", "fletcher32", "most_bytes", "undo_filters", "unshuffle"]

WHAT = "filter pipeline"
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
IDENTITIES = frozenset({32022, 32023})
"""BitGroom and Granular BitRound round what is written; decoding gives what is stored (H5Zbitgroom.c, H5Zgranularbr.c:
with `H5Z_FLAG_REVERSE` both return the size of their input and leave the buffer alone)."""
OWN = frozenset({DEFLATE, SHUFFLE, FLETCHER32}) | IDENTITIES
"""Filters that are undone here."""


def most_bytes(size: int) -> int:
    """Return how many bytes a stage may give of a chunk of `size`.

    One in the middle may give a little more than the values have: checksums, data that do not compress.
    """
    return size + size // 8 + 65536


def undo_filters(data: bytes, filters: Sequence[Filter], mask: int, size: int) -> bytes:
    """Undo filters that are among `OWN`, to as many bytes as there are, not many more than `size`.

    Parameters
    ----------
    mask
        Bit n: the chunk is stored without filter n.
    size
        Bytes that the values of the chunk take.

    Raises
    ------
    FormatError
        The bytes do not decode.
    """
    limit = most_bytes(size)
    for position in reversed(range(len(filters))):
        found = filters[position]
        if mask >> position & 1 or found.id in IDENTITIES:
            continue
        if found.id == DEFLATE:
            data = _inflate(data, limit)
        elif found.id == SHUFFLE:
            data = unshuffle(data, found.client_data[0] if found.client_data else 1)
        elif found.id == FLETCHER32:
            data = check_fletcher32(data)
    return data


def _inflate(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, limit)
    except zlib.error as error:
        raise FormatError(f"deflate: {error}", structure=WHAT) from None
    if not stream.eof:
        raise FormatError("deflate stream", structure=WHAT, expected=f"an end within {limit} bytes", got="no end")
    return out


def unshuffle(data: bytes, element_size: int) -> bytes:
    """Bring bytes 0 of all elements, then bytes 1, … back together; what is left over at the end was not shuffled."""
    if element_size <= 1:
        return data
    count = len(data) // element_size
    whole = np.frombuffer(data, "u1", count * element_size).reshape(element_size, count)
    return whole.T.tobytes() + data[count * element_size :]


def fletcher32(data: bytes) -> int:
    """Return HDF5's Fletcher32 checksum: sums modulo 65535 over big-endian words, an odd last byte as a high half."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype("u8")
    n = len(words)
    first = int(words.sum()) % 65535
    # The second sum adds word i (n - i) times; block by block, so that nothing overflows.
    second = 0
    for start in range(0, n, 1 << 20):
        block = words[start : start + (1 << 20)]
        weights = np.arange(n - start, n - start - len(block), -1, dtype="u8") % np.uint64(65535)
        second += int((block * weights % np.uint64(65535)).sum())
    second %= 65535
    # The algorithm folds end-around, so that a sum that is not nought but divides by 65535 stays 65535.
    if n and first == 0 and words.any():
        first = 65535
    if n and second == 0 and words.any():
        second = 65535
    return second << 16 | first


def check_fletcher32(data: bytes) -> bytes:
    """Check the checksum at the end of `data`; return what is before it."""
    if len(data) < 4:
        raise FormatError("fletcher32", structure=WHAT, expected="4 bytes or more", got=len(data))
    stored = int.from_bytes(data[-4:], "little")
    computed = fletcher32(data[:-4])
    # Before version 1.6.3, libhdf5 swapped the bytes of each half on little-endian machines; both are right.
    swapped = (computed & 0x00FF00FF) << 8 | (computed & 0xFF00FF00) >> 8
    if stored not in (computed, swapped):
        raise FormatError("fletcher32", structure=WHAT, expected=f"{stored:#010x}", got=f"{computed:#010x}")
    return data[:-4]
