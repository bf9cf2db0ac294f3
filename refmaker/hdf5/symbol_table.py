"""Old-style groups: Symbol Table message, symbol table nodes (SNOD), symbol table entries, local heap.

Contract: pure. Specification 4.0, III.B, III.C, III.D and IV.A.2.r.
"""

from __future__ import annotations

from struct import Struct

from refmaker.errors import FormatError
from refmaker.hdf5.link import Link, checked_name
from refmaker.hdf5.sizes import Sizes, need, unsigned
from refmaker.window import Buffer

__all__ = [
    "SNOD_HEAD_SIZE",
    "decode_entries",
    "decode_local_heap",
    "decode_snod_count",
    "decode_symbol_table",
    "entry_size",
    "local_heap_size",
]

# 0 signature "SNOD" 4 | 4 version 1 | 5 reserved | 6 number of symbols 2 | 8 entries
_SNOD = Struct("<4sBxH")
SNOD_HEAD_SIZE = _SNOD.size
# Entry: link name offset L (O in the specification, L in H5Gent.c) | object header address O | cache type 4
#        | reserved 4 | scratch pad 16
_CACHED_SOFT_LINK = 2
# 0 signature "HEAP" 4 | 4 version 0 | 5 reserved 3 | 8 data segment size L | free list head L | data segment address O
_HEAP_HEAD = Struct("<4sB3x")


def decode_symbol_table(body: bytes, sizes: Sizes) -> tuple[int, int]:
    """Decode a Symbol Table message: addresses of the v1 B-tree and of the local heap."""
    need(body, 0, 2 * sizes.offsets, "symbol table message")
    btree, heap = sizes.struct("2O").unpack_from(body, 0)
    return btree, heap


def local_heap_size(sizes: Sizes) -> int:
    """Return the size of a local heap's header."""
    return _HEAP_HEAD.size + 2 * sizes.lengths + sizes.offsets


def decode_local_heap(buf: Buffer, pos: int, sizes: Sizes, address: int) -> tuple[int, int]:
    """Decode a local heap: address and size of its data segment."""
    signature, version = _HEAP_HEAD.unpack_from(buf, pos)
    if signature != b"HEAP" or version != 0:
        raise FormatError("signature", structure="local heap", address=address, expected=b"HEAP", got=signature)
    size, _, segment = sizes.struct("LLO").unpack_from(buf, pos + _HEAP_HEAD.size)
    return segment, size


def entry_size(sizes: Sizes) -> int:
    """Return the size of a symbol table entry."""
    return sizes.lengths + sizes.offsets + 24


def decode_snod_count(buf: Buffer, pos: int, address: int) -> int:
    """Decode the head of a symbol table node: its number of entries."""
    signature, version, count = _SNOD.unpack_from(buf, pos)
    if signature != b"SNOD" or version != 1:
        raise FormatError("signature", structure="symbol table node", address=address, expected=b"SNOD", got=signature)
    return int(count)


def decode_entries(buf: Buffer, pos: int, count: int, heap: bytes, sizes: Sizes, address: int) -> list[Link]:
    """Decode `count` entries from `pos`; names and soft links' values are taken from the local heap's data."""
    entry = sizes.struct("LOI4x4s12x")
    links, total = [], 0
    for i in range(count):
        name_offset, header, cache, scratch = entry.unpack_from(buf, pos + i * entry.size)
        name = checked_name(_string(heap, name_offset, address), "symbol table node")
        if cache == _CACHED_SOFT_LINK:
            link = Link(name, "soft", target=_string(heap, unsigned(scratch, 0, 4), address))
        else:
            link = Link(name, "hard", header)
        # Each string stands in the heap once, so that those of a node are no longer than the heap.
        total += len(name) + len(link.target)
        if total > len(heap):
            raise FormatError("names that overlap", structure="symbol table node", address=address)
        links.append(link)
    return links


def _string(heap: bytes, offset: int, address: int) -> str:
    stop = heap.find(b"\0", offset)
    if stop <= offset:
        raise FormatError(
            "name",
            structure="symbol table node",
            address=address,
            expected="a string in the local heap",
            got=f"offset {offset} of {len(heap)}",
        )
    return heap[offset:stop].decode("utf-8", "surrogateescape")
