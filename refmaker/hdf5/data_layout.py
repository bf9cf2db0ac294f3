"""Data Layout message, versions 1 to 5: how and where the values of a dataset are stored.

Contract: pure. Specification 4.0, IV.A.2.i. Version 5 (HDF5 2.0) has the bytes of version 4; chunk indexes of filtered
chunks then hold sizes of "Size of Lengths" bytes instead of as many as the chunk's size needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import Sizes, need, unsigned

__all__ = ["ChunkedLayout", "CompactLayout", "ContiguousLayout", "Layout", "VirtualLayout", "decode_data_layout"]

WHAT = "data layout message"
_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)
BTREE_V1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_V2 = range(6)
_UNFILTERED_EDGES, _SINGLE_FILTERED = 1, 2


@dataclass(slots=True)
class CompactLayout:
    """Values stand in the message."""

    data: bytes


@dataclass(slots=True)
class ContiguousLayout:
    """One block. `address` is None if not allocated, `size` None where the message does not hold it (versions 1, 2)."""

    address: int | None
    size: int | None


@dataclass(slots=True)
class ChunkedLayout:
    """Chunks of `chunk_shape` elements of `element_size` bytes, found through an index.

    `index` is one of BTREE_V1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_V2. `parameters` are its creation
    parameters: for SINGLE the stored size and filter mask when filtered, for FIXED_ARRAY the page bits, for
    EXTENSIBLE_ARRAY max bits, index elements, min pointers, min elements, page bits, for BTREE_V2 node size,
    split and merge percent.
    """

    version: int
    chunk_shape: tuple[int, ...]
    element_size: int
    index: int
    address: int | None
    parameters: tuple[int, ...] = ()
    unfiltered_edges: bool = False


@dataclass(slots=True)
class VirtualLayout:
    """Mappings in a global heap object; `collection` is None when there are none."""

    collection: int | None
    index: int


Layout = CompactLayout | ContiguousLayout | ChunkedLayout | VirtualLayout


def decode_data_layout(body: bytes, sizes: Sizes) -> Layout:
    """Decode a Data Layout message."""
    need(body, 0, 2, WHAT)
    version = body[0]
    if version in (1, 2):
        return _version_1(body, sizes)
    if version == 3:
        return _version_3(body, sizes)
    if version in (4, 5):
        return _version_4(body, sizes)
    raise Unsupported("version", structure=WHAT, expected="1 to 5", got=version)


def _address(body: bytes, pos: int, sizes: Sizes) -> int | None:
    need(body, pos, sizes.offsets, WHAT)
    address = sizes.address(body, pos)
    return None if address == sizes.undefined else address


def _version_1(body: bytes, sizes: Sizes) -> Layout:
    """0 version | 1 dimensionality | 2 class | 3 reserved 5 | 8 address (not compact) | dimensions 4 each | data."""
    need(body, 0, 8, WHAT)
    rank, kind, pos, address = body[1], body[2], 8, None
    if kind in (_CONTIGUOUS, _CHUNKED):
        address, pos = _address(body, pos, sizes), pos + sizes.offsets
    elif kind != _COMPACT:
        raise _bad_class(kind)
    need(body, pos, 4 * rank, WHAT)
    extents = tuple(unsigned(body, pos + 4 * i, 4) for i in range(rank))
    pos += 4 * rank
    if kind == _CONTIGUOUS:
        return ContiguousLayout(address, None)
    if kind == _CHUNKED:
        return _chunked(body[0], extents, BTREE_V1, address)
    need(body, pos, 4, WHAT)
    return _compact(body, pos + 4, unsigned(body, pos, 4))


def _compact(body: bytes, pos: int, size: int) -> CompactLayout:
    need(body, pos, size, WHAT)
    return CompactLayout(body[pos : pos + size])


def _version_3(body: bytes, sizes: Sizes) -> Layout:
    """0 version | 1 class | 2 compact: size 2, data; contiguous: address, size; chunked: rank 1, address, extents 4."""
    kind = body[1]
    if kind == _CHUNKED:
        need(body, 2, 1, WHAT)
        rank, pos = body[2], 3 + sizes.offsets
        need(body, pos, 4 * rank, WHAT)
        extents = tuple(unsigned(body, pos + 4 * i, 4) for i in range(rank))
        return _chunked(3, extents, BTREE_V1, _address(body, 3, sizes))
    return _unchunked(body, kind, sizes)


def _unchunked(body: bytes, kind: int, sizes: Sizes) -> Layout:
    if kind == _COMPACT:
        need(body, 2, 2, WHAT)
        return _compact(body, 4, unsigned(body, 2, 2))
    if kind == _CONTIGUOUS:
        need(body, 2, sizes.offsets + sizes.lengths, WHAT)
        return ContiguousLayout(_address(body, 2, sizes), sizes.length(body, 2 + sizes.offsets))
    raise _bad_class(kind)


def _version_4(body: bytes, sizes: Sizes) -> Layout:
    """0 version | 1 class | 2 chunked: flags 1, rank 1, width 1, extents, index type 1, its parameters, address."""
    kind = body[1]
    if kind == _VIRTUAL:
        need(body, 2, sizes.offsets + 4, WHAT)
        return VirtualLayout(_address(body, 2, sizes), unsigned(body, 2 + sizes.offsets, 4))
    if kind != _CHUNKED:
        return _unchunked(body, kind, sizes)
    need(body, 2, 3, WHAT)
    flags, rank, width = body[2], body[3], body[4]
    if not 1 <= width <= 8:
        raise FormatError("width of chunk extents", structure=WHAT, expected="1 to 8", got=width)
    need(body, 5, rank * width + 1, WHAT)
    extents = tuple(unsigned(body, 5 + width * i, width) for i in range(rank))
    pos = 5 + rank * width
    index = body[pos]
    parameters, pos = _parameters(body, pos + 1, index, flags, sizes)
    unfiltered = bool(flags & _UNFILTERED_EDGES)
    return _chunked(body[0], extents, index, _address(body, pos, sizes), parameters, unfiltered)


def _parameters(body: bytes, pos: int, index: int, flags: int, sizes: Sizes) -> tuple[tuple[int, ...], int]:
    """Decode the creation parameters of a chunk index; give them and the position after them."""
    if index == SINGLE:
        if not flags & _SINGLE_FILTERED:
            return (), pos
        layout = sizes.struct("LI")
    elif index == IMPLICIT:
        return (), pos
    elif index == FIXED_ARRAY:
        layout = sizes.struct("B")
    elif index == EXTENSIBLE_ARRAY:
        layout = sizes.struct("5B")
    elif index == BTREE_V2:
        layout = sizes.struct("IBB")
    else:
        raise Unsupported("chunk index type", structure=WHAT, expected="1 to 5", got=index)
    need(body, pos, layout.size, WHAT)
    return layout.unpack_from(body, pos), pos + layout.size


def _chunked(
    version: int,
    extents: tuple[int, ...],
    index: int,
    address: int | None,
    parameters: tuple[int, ...] = (),
    unfiltered: bool = False,
) -> ChunkedLayout:
    if len(extents) < 2 or 0 in extents:
        raise FormatError("chunk extents", structure=WHAT, expected="at least 2, all > 0", got=extents)
    return ChunkedLayout(version, extents[:-1], extents[-1], index, address, parameters, unfiltered)


def _bad_class(kind: int) -> FormatError:
    return FormatError("layout class", structure=WHAT, expected="0 to 3", got=kind)
