"""Dataspace message, versions 1 and 2: the extent of a dataset or attribute.

Contract: pure; memoised by its bytes. Specification 4.0, IV.A.2.b.
"""

from __future__ import annotations

from functools import lru_cache

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import Sizes, need
from refmaker.model import Dataspace

__all__ = ["MAX_RANK", "decode_dataspace"]

MAX_RANK = limits.RANK  # H5S_MAX_RANK

# Version 1: 0 version | 1 rank | 2 flags | 3 reserved 5 | 8 extents L each (| maximum extents L each) (| permutation)
# Version 2: 0 version | 1 rank | 2 flags | 3 type        | 4 extents L each (| maximum extents L each)
_MAXIMUM, _PERMUTATION = 1, 2
_SCALAR, _SIMPLE, _NULL = 0, 1, 2


@lru_cache(8192)
def decode_dataspace(body: bytes, sizes: Sizes) -> Dataspace:
    """Decode a Dataspace message."""
    need(body, 0, 4, "dataspace message")
    version, rank, flags, kind = body[0], body[1], body[2], body[3]
    if rank > MAX_RANK:
        raise FormatError("rank", structure="dataspace message", expected=f"<= {MAX_RANK}", got=rank)
    if version == 1:
        start, kind = 8, _SIMPLE if rank else _SCALAR
        if flags & _PERMUTATION:
            raise Unsupported("permuted dimensions", structure="dataspace message")
    elif version == 2:
        start = 4
    else:
        raise Unsupported("version", structure="dataspace message", expected="1 or 2", got=version)
    if kind == _NULL:
        return Dataspace("null")
    if kind == _SCALAR:
        if rank:
            raise FormatError("rank of a scalar", structure="dataspace message", expected=0, got=rank)
        return Dataspace("scalar")
    if kind != _SIMPLE:
        raise FormatError("type", structure="dataspace message", expected="0 to 2", got=kind)
    return _simple(body, start, rank, flags, sizes)


def _simple(body: bytes, start: int, rank: int, flags: int, sizes: Sizes) -> Dataspace:
    extents = sizes.struct("L" * rank)
    need(body, start, extents.size * (2 if flags & _MAXIMUM else 1), "dataspace message")
    shape = extents.unpack_from(body, start)
    if not flags & _MAXIMUM:
        return Dataspace("simple", shape, shape)
    unlimited = (1 << 8 * sizes.lengths) - 1
    maxima = extents.unpack_from(body, start + extents.size)
    return Dataspace("simple", shape, tuple(None if m == unlimited else m for m in maxima))
