"""Client data of libhdf5's own filters: whether they make sense, and how much a filter will read.

Contract: pure. libhdf5 believes the client data of its fletcher32, szip, n-bit and scale-offset filters and does not
compare them with the bytes it got: from wrong ones it divides by zero or writes beyond its buffers, and from too few
bytes it decodes what lies after them. `required_input` refuses the former and gives what to check for the latter. Other
filters check for themselves, or are plugins about which nothing is known here.

Layout of the client data: H5Zszip.c, H5Znbit.c and H5Zscaleoffset.c (there is no specification of it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refmaker import limits
from refmaker.codecs.szip import is_padded
from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["SELF_BOUNDED", "RequiredInput", "required_input"]

_FLETCHER32, _SZIP, _NBIT, _SCALEOFFSET = 3, 4, 5, 6
_CHECKSUM_SIZE = 4
SELF_BOUNDED = frozenset({2, _FLETCHER32, _SZIP, _NBIT, _SCALEOFFSET})
"""Filters that put out no more than the size of a chunk: by their client data, or as they only move bytes."""


@dataclass(frozen=True, slots=True)
class RequiredInput:
    """What the bytes that a filter is to decode have to be.

    Attributes
    ----------
    size
        At least so many bytes.
    per_bit
        And so many bits for every one that the first 4 bytes, an integer, state.
    largest
        What that integer is at most; 0 if it is none.
    padded
        Client data of szip where its rows are padded: the bytes have to hold all pixels. See `szip`.
    """

    size: int
    per_bit: int = 0
    largest: int = 0
    padded: tuple[int, ...] = ()


def required_input(one: Filter, chunk_size: int) -> RequiredInput | None:
    """Check the client data of a filter.

    Parameters
    ----------
    one
        The filter.
    chunk_size
        Bytes of a chunk before all filters.

    Returns
    -------
    RequiredInput or None
        None where nothing is known.

    Raises
    ------
    FormatError
        libhdf5 must not see these client data.
    """
    check = _CHECKS.get(one.id)
    return None if check is None else check(one.client_data, chunk_size)


def _need(fits: bool, name: str, values: tuple[int, ...]) -> None:
    if not fits:
        raise FormatError(f"client data of {name}", structure="filter pipeline message", got=list(values)[:20])


def _fletcher32(values: tuple[int, ...], chunk_size: int) -> RequiredInput:
    return RequiredInput(_CHECKSUM_SIZE)


# szip: 0 options | 1 pixels per block | 2 bits per pixel | 3 pixels per scanline
def _szip(values: tuple[int, ...], chunk_size: int) -> RequiredInput:
    _need(len(values) == 4, "szip", values)
    _, in_block, bits, in_line = values
    _need(2 <= in_block <= 32 and in_block % 2 == 0, "szip", values)
    _need(1 <= bits <= 32 or bits == 64, "szip", values)
    _need(1 <= in_line <= 4096, "szip", values)  # SZ_MAX_PIXELS_PER_SCANLINE
    # It begins with the size before compression, which libhdf5 allocates. Other filters before may have added a little
    padded = values if is_padded(values) else ()
    return RequiredInput(4, largest=min(2 * chunk_size + 4096, 2**32 - 1), padded=padded)


# scale-offset: 0 scale type | 1 scale factor | 2 elements | 3 class | 4 element size | 5 sign | 6 byte order
#               7 whether a fill value follows | 8 fill value
_SCALEOFFSET_VALUES = 20
_SCALEOFFSET_HEAD = 21


def _scaleoffset(values: tuple[int, ...], chunk_size: int) -> RequiredInput:
    _need(len(values) == _SCALEOFFSET_VALUES, "scale-offset", values)
    scale, _, elements, kind, size, sign, order, filled = values[:8]
    _need(scale in (0, 2) and kind in (0, 1) and sign in (0, 1) and order in (0, 1), "scale-offset", values)
    _need(size in ((1, 2, 4, 8), (4, 8))[kind] and filled in (0, 1), "scale-offset", values)
    _need(elements * size == chunk_size, "scale-offset", values)
    return RequiredInput(_SCALEOFFSET_HEAD, elements, 8 * size)


# n-bit: 0 number of values | 1 whether to leave the data alone | 2 elements | 3 datatype, beginning with its kind:
# 1 atomic: size, byte order, precision, offset
# 2 array: size, datatype of its elements
# 3 compound: size, number of members, for each its offset and datatype
# 4 as it is: size
_ATOMIC, _ARRAY, _COMPOUND, _AS_IS = 1, 2, 3, 4
_MAX_DEPTH = limits.DATATYPE_DEPTH


def _nbit(values: tuple[int, ...], chunk_size: int) -> RequiredInput:
    _need(len(values) >= 3 and values[0] == len(values), "n-bit", values)
    if values[1]:
        return RequiredInput(0)
    size, bits, stop = _nbit_datatype(values, 3, 0)
    _need(stop == len(values) and values[2] * size == chunk_size, "n-bit", values)
    return RequiredInput((values[2] * bits + 7) // 8)


def _nbit_datatype(values: tuple[int, ...], pos: int, depth: int) -> tuple[int, int, int]:
    """Return the size in bytes, the packed size in bits and where the datatype at `pos` ends."""
    _need(pos + 2 <= len(values) and depth <= _MAX_DEPTH, "n-bit", values)
    kind, size = values[pos], values[pos + 1]
    _need(size >= 1, "n-bit", values)
    if kind == _AS_IS:
        return size, 8 * size, pos + 2
    if kind == _ATOMIC:
        _need(pos + 5 <= len(values), "n-bit", values)
        order, precision, offset = values[pos + 2 : pos + 5]
        _need(order in (0, 1) and precision >= 1 and precision + offset <= 8 * size, "n-bit", values)
        return size, precision, pos + 5
    if kind == _ARRAY:
        base, bits, stop = _nbit_datatype(values, pos + 2, depth + 1)
        _need(size % base == 0, "n-bit", values)
        return size, size // base * bits, stop
    _need(kind == _COMPOUND and pos + 3 <= len(values), "n-bit", values)
    return _nbit_compound(values, pos, depth)


def _nbit_compound(values: tuple[int, ...], pos: int, depth: int) -> tuple[int, int, int]:
    size, members = values[pos + 1 : pos + 3]
    _need(members <= len(values), "n-bit", values)
    bits, used = 0, 0
    pos += 3
    for _ in range(members):
        _need(pos < len(values), "n-bit", values)
        offset = values[pos]
        own, packed, pos = _nbit_datatype(values, pos + 1, depth + 1)
        _need(offset + own <= size, "n-bit", values)
        bits, used = bits + packed, used + own
    _need(used <= size, "n-bit", values)
    return size, bits, pos


_CHECKS: dict[int, Callable[[tuple[int, ...], int], RequiredInput]] = {
    _FLETCHER32: _fletcher32,
    _SZIP: _szip,
    _NBIT: _nbit,
    _SCALEOFFSET: _scaleoffset,
}
