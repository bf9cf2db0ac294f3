"""The filter pipeline, backwards: stored bytes of a chunk to its values, for what the scanner must look into.

Contract: output bounded. Used for variable-length data, filtered heap blocks and inlined chunks; data that readers
fetch themselves never pass here. What `hdf5_filters` has is undone there; all others are left to libhdf5 (`decode`).
"""

from __future__ import annotations

from collections.abc import Sequence

from refmaker import limits
from refmaker.codecs.hdf5_filters import OWN, WHAT, undo_filters
from refmaker.errors import FormatError
from refmaker.model import Filter

__all__ = ["decode_chunk"]


def decode_chunk(data: bytes, filters: Sequence[Filter], mask: int, size: int, least: int | None = None) -> bytes:
    """Undo the filters that `mask` does not skip; `size` is how many bytes the values take.

    Where `least` bytes will do, as libhdf5 has it, what is beyond `size` is cut off, and what is missing is zeros.

    Raises
    ------
    FormatError
        The bytes do not decode to `size`.
    Unsupported
        No library here has one of the filters.
    """
    applied = [f for position, f in enumerate(filters) if not mask >> position & 1]
    if any(f.id not in OWN for f in applied):
        return _by_libhdf5(data, applied, size)
    data = undo_filters(data, applied, 0, size)
    if least is not None and len(data) >= least:
        data = data[:size] + bytes(size - len(data[:size]))
    if len(data) != size:
        raise FormatError("decoded size", structure=WHAT, expected=size, got=len(data))
    return data


def _by_libhdf5(data: bytes, filters: Sequence[Filter], size: int) -> bytes:
    if not 0 < size <= limits.CODEC_CHUNK:
        raise FormatError("size of a chunk", structure=WHAT, expected=f"1 to {limits.CODEC_CHUNK} bytes", got=size)
    from refmaker.codecs.decode import decode_stored

    return decode_stored(data, filters, size)
