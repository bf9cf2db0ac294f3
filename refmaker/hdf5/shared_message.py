"""Shared messages: the body that stands for a message kept elsewhere, and the table of shared message heaps (SOHM).

Contract: pure. Specification 4.0, IV.A.2.p, IV.A.2 (Shared Message Table) and III.I.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import Sizes, need
from refmaker.window import Buffer

__all__ = ["SharedMessage", "decode_shared_message", "decode_sohm_indexes", "decode_sohm_message", "sohm_table_size"]

WHAT = "shared message"
_IN_HEAP = 1
_HEAP_ID_SIZE = 8


@dataclass(slots=True)
class SharedMessage:
    """Where a shared message is kept: in the object header at `address`, or in a heap under `heap_id`."""

    address: int | None
    heap_id: bytes | None


def decode_shared_message(body: bytes, sizes: Sizes) -> SharedMessage:
    """Decode a shared message's body.

    Version 1: 0 version | 1 type | 2 reserved 6 | 8 unused L | address O (the head of a symbol table entry, which the
    specification does not tell; H5Oshared.c). Version 2: 0 version | 1 type | 2 address O.
    Version 3: 0 version | 1 type | 2 heap id 8 (type 1) or address O.
    """
    need(body, 0, 2, WHAT)
    version, kind = body[0], body[1]
    if version not in (1, 2, 3):
        raise Unsupported("version", structure=WHAT, expected="1 to 3", got=version)
    if version == 3 and kind == _IN_HEAP:
        need(body, 2, _HEAP_ID_SIZE, WHAT)
        return SharedMessage(None, body[2 : 2 + _HEAP_ID_SIZE])
    start = 8 + sizes.lengths if version == 1 else 2
    need(body, start, sizes.offsets, WHAT)
    return SharedMessage(sizes.address(body, start), None)


def decode_sohm_message(body: bytes, sizes: Sizes) -> tuple[int, int]:
    """Decode the Shared Message Table message of the superblock extension: 0 version | 1 table O | indexes 1."""
    need(body, 0, 2 + sizes.offsets, "shared message table message")
    if body[0] != 0:
        raise Unsupported("version", structure="shared message table message", expected=0, got=body[0])
    return sizes.address(body, 1), body[1 + sizes.offsets]


def sohm_table_size(count: int, sizes: Sizes) -> int:
    """Return the size of a master table of `count` indexes."""
    return 4 + count * (14 + 2 * sizes.offsets) + 4


def decode_sohm_indexes(buf: Buffer, pos: int, count: int, sizes: Sizes, address: int) -> list[tuple[int, int]]:
    """Decode the master table: for each index its message type flags and the address of its fractal heap.

    0 signature "SMTB" 4 | then per index: list version 1 | index type 1 | message type flags 2 | minimum size 4
    | list cut-off 2 | B-tree cut-off 2 | messages 2 | index O | heap O
    """
    if bytes(buf[pos : pos + 4]) != b"SMTB":
        raise FormatError("signature", structure="shared message table", address=address, got=bytes(buf[pos : pos + 4]))
    entry = sizes.struct("BBHIHHHOO")
    indexes = []
    for i in range(count):
        _, _, flags, _, _, _, _, _, heap = entry.unpack_from(buf, pos + 4 + i * entry.size)
        indexes.append((flags, heap))
    return indexes
