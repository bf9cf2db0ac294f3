"""External Data Files message: raw data kept in other files.

Contract: pure. Specification 4.0, IV.A.2.h.
"""

from __future__ import annotations

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import Sizes, need

__all__ = ["decode_external_files"]

WHAT = "external data files message"


def decode_external_files(body: bytes, sizes: Sizes) -> tuple[int, tuple[tuple[int, int, int | None], ...]]:
    """Decode the message: address of the local heap with the names, and the slots in use.

    0 version | 1 reserved 3 | 4 allocated slots 2 | 6 used slots 2 | 8 heap O
    | slots: name offset L, offset in the file L, size L (all ones: unlimited, given as None)
    """
    need(body, 0, 8 + sizes.offsets, WHAT)
    if body[0] != 1:
        raise Unsupported("version", structure=WHAT, expected=1, got=body[0])
    allocated, used = int.from_bytes(body[4:6], "little"), int.from_bytes(body[6:8], "little")
    if used > allocated:
        raise FormatError("used slots", structure=WHAT, expected=f"<= {allocated}", got=used)
    heap = sizes.address(body, 8)
    slot = sizes.struct("LLL")
    unlimited = (1 << 8 * sizes.lengths) - 1
    need(body, 8 + sizes.offsets, used * slot.size, WHAT)
    slots = []
    for i in range(used):
        name, offset, size = slot.unpack_from(body, 8 + sizes.offsets + i * slot.size)
        slots.append((name, offset, None if size == unlimited else size))
    return heap, tuple(slots)
