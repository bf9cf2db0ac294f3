"""Global heap: collections of objects that variable-length data, region references and virtual datasets point to.

Contract: `decode_collection` is pure and gives where each object of a collection lies. Specification 4.0, III.E.
"""

from __future__ import annotations

from struct import Struct

from refmaker.errors import FormatError, TruncatedError
from refmaker.hdf5.sizes import Sizes
from refmaker.window import Buffer

__all__ = ["HEAD_SIZE", "collection_size", "decode_collection"]

WHAT = "global heap collection"
# 0 signature "GCOL" 4 | 4 version 1 | 5 reserved 3 | 8 collection size L
_HEAD = Struct("<4sB3x")
HEAD_SIZE = 16
# Object: 0 index 2 | 2 reference count 2 | 4 reserved 4 | 8 size L | data, padded to 8. Index 0 is the free space.


def collection_size(buf: Buffer, pos: int, sizes: Sizes, address: int) -> int:
    """Decode the head of a collection: its size, head included."""
    signature, version = _HEAD.unpack_from(buf, pos)
    if signature != b"GCOL" or version != 1:
        raise FormatError("signature", structure=WHAT, address=address, expected=b"GCOL", got=signature)
    size = sizes.length(buf, pos + 8)
    if size < HEAD_SIZE:
        raise FormatError("size", structure=WHAT, address=address, expected=f">= {HEAD_SIZE}", got=size)
    return size


def decode_collection(buf: Buffer, pos: int, size: int, sizes: Sizes, address: int) -> dict[int, bytes]:
    """Decode a collection of `size` bytes: object index -> the object's bytes."""
    head = sizes.struct("HH4xL")
    unpack = head.unpack_from
    # The head's length field is "Size of Lengths" wide, objects are padded to 8 as from the collection's start.
    p, stop, objects = pos + 8 + -(-sizes.lengths // 8) * 8, pos + size, {}
    while p + head.size <= stop:
        index, _, length = unpack(buf, p)
        if index == 0:
            break
        p += -(-head.size // 8) * 8
        if p + length > stop:
            raise TruncatedError(
                f"object {index} reaches beyond its collection",
                structure=WHAT,
                address=address,
                expected=f"<= {stop - p} bytes",
                got=length,
            )
        objects[index] = bytes(buf[p : p + length])
        p += length + -length % 8
    return objects
