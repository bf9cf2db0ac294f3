"""Metadata cache image: metadata that stand in one block until the file is next opened for writing.

Contract: `decode_cache_image` is pure; `OverlayWindow` shows its entries at the addresses they belong to. The
Metadata Cache
Image message (0x18) is in the superblock extension; the block's layout is libhdf5's (H5Cimage.c), the
specification only names it.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.sizes import Sizes, need
from refmaker.window import Addresses, Buffer, Window

__all__ = ["OverlayWindow", "decode_cache_image", "decode_cache_image_message"]

WHAT = "metadata cache image"


def decode_cache_image_message(body: bytes, sizes: Sizes) -> tuple[int, int] | None:
    """Decode the message: 0 version | 1 address O | size L. None when there is no image."""
    need(body, 0, 1 + sizes.offsets + sizes.lengths, "metadata cache image message")
    address = sizes.address(body, 1)
    return None if address == sizes.undefined else (address, sizes.length(body, 1 + sizes.offsets))


def decode_cache_image(block: bytes, sizes: Sizes, address: int) -> dict[int, bytes]:
    """Decode the image: address -> bytes of each cached entry.

    0 signature "MDCI" 4 | 4 version | 5 flags | 6 image data length L | number of entries 4 | entries | checksum 4.
    Entry: type 1 | flags 1 | ring 1 | age 1 | children 2 | dirty children 2 | parents 2 | rank 4 | address O | size L
    | parents' addresses O each | bytes
    """
    head, entry = sizes.struct("4xBBLI"), sizes.struct("4BHHHiOL")
    need(block, 0, head.size + 4, WHAT)
    if block[:4] != b"MDCI" or block[4] > 1:
        raise FormatError("signature", structure=WHAT, address=address, expected=b"MDCI", got=block[:5])
    verify(block, WHAT, address)
    _, _, _, count = head.unpack_from(block)
    pos, entries = head.size, {}
    for _ in range(count):
        need(block, pos, entry.size, WHAT)
        *_, parents, _, place, size = entry.unpack_from(block, pos)
        pos += entry.size + parents * sizes.offsets
        need(block, pos, size, WHAT)
        entries[place] = block[pos : pos + size]
        pos += size
    _check_apart(entries, address)
    return entries


def _check_apart(entries: dict[int, bytes], address: int) -> None:
    stop = 0
    for place in sorted(entries):
        if place < stop:
            raise FormatError("entries that overlap", structure=WHAT, address=address, got=place)
        stop = place + len(entries[place])


class OverlayWindow:
    """A Window in which some ranges, which do not overlap, are taken from elsewhere."""

    def __init__(self, window: Window, entries: dict[int, bytes]) -> None:
        self.window = window
        self.entries = entries
        self.starts = sorted(entries)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.window.size

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        last = bisect_right(self.starts, max(address + size - 1, address))
        first = last
        while first and self.starts[first - 1] + len(self.entries[self.starts[first - 1]]) > address:
            first -= 1
        places = self.starts[first:last]
        if not places:
            return self.window.at(address, size)
        entry = self.entries[places[0]]
        if places[0] <= address and address + size <= places[0] + len(entry):
            return entry, address - places[0]
        buf, pos = self.window.at(address, size)
        patched = bytearray(buf[pos : pos + size])
        for place in places:
            start, stop = max(place, address), min(place + len(self.entries[place]), address + size)
            patched[start - address : stop - address] = self.entries[place][start - place : stop - place]
        return bytes(patched), 0

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        self.window.want([a for a in np.asarray(addresses).tolist() if len(self.entries.get(a, b"")) < size], size)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        out = np.empty((len(addresses), size), "u1")
        for i, address in enumerate(addresses.tolist()):
            buf, pos = self.at(address, size)
            out[i] = np.frombuffer(buf, "u1", size, pos)
        return out
