"""The sparse image of a remote file: pages that were fetched, and what is missing.

Contract: `at` and `rows` give bytes of pages that are here or raise `MissingBytes` with all pages the call needs;
`want`
remembers ranges, so that the next `MissingBytes` asks for them too. `store` puts fetched bytes in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refmaker.errors import TruncatedError
from refmaker.ranges import pages_of
from refmaker.window import Addresses, Buffer, MissingBytes

__all__ = ["PAGE_BITS", "PagesWindow"]

PAGE_BITS = 16


class PagesWindow:
    """A Window over the pages fetched so far of a file of known size."""

    def __init__(self, size: int, *, page_bits: int = PAGE_BITS) -> None:
        self._size = size
        self._page_bits = page_bits
        self._pages: dict[int, bytes] = {}
        self._wanted: set[int] = set()
        self.stored_size = 0
        self.fetches = 0

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._size

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        self._check(address, size)
        bits = self._page_bits
        first, last = address >> bits, max(address + size - 1, address) >> bits
        if first == last:
            page = self._pages.get(first)
            if page is None:
                self._raise_missing([first])
            else:
                return page, address - (first << bits)
        missing = [n for n in range(first, last + 1) if n not in self._pages]
        if missing:
            self._raise_missing(missing)
        return b"".join(self._pages[n] for n in range(first, last + 1)), address - (first << bits)

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`: noted for the next round, cut at the end of the file."""
        starts = np.asarray(addresses, "u8")
        starts = starts[starts < np.uint64(self._size)].astype("i8")
        sizes = np.minimum(min(size, self._size), self._size - starts)
        pages = pages_of(starts, np.maximum(sizes, 0), self._page_bits)
        self._wanted.update(n for n in pages.tolist() if n not in self._pages)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        if len(addresses) == 0:
            return np.empty((0, size), "u1")
        self._check(int(addresses.max()), size)
        self.want(addresses, size)
        starts = addresses.astype("i8")
        if any(n not in self._pages for n in pages_of(starts, np.full(len(starts), size), self._page_bits).tolist()):
            self._raise_missing([])
        out = np.empty((len(starts), size), "u1")
        for i, start in enumerate(starts.tolist()):
            buf, pos = self.at(start, size)
            out[i] = np.frombuffer(buf, "u1", size, pos)
        return out

    def store(self, address: int, data: bytes) -> None:
        """Put in bytes that begin at a page's start and end at a page's end or the file's."""
        page_size = 1 << self._page_bits
        for start in range(0, len(data), page_size):
            self._pages[(address + start) >> self._page_bits] = data[start : start + page_size]
        self.stored_size += len(data)
        self.fetches += 1

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self._size:
            raise TruncatedError(
                "reaches beyond the end of the file",
                address=address,
                expected=f"{size} bytes",
                got=f"a file of {self._size}",
            )

    def _raise_missing(self, pages: list[int]) -> None:
        """Raise `MissingBytes` for these pages and all that were announced."""
        missing = self._wanted.union(pages) - self._pages.keys()
        self._wanted = set()
        starts = np.array(sorted(missing), "i8") << self._page_bits
        stops = np.minimum(starts + (1 << self._page_bits), self._size)
        raise MissingBytes(starts, stops - starts)
