"""Windows for tests: over bytes in memory, whole or fetched as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import TruncatedError
from refmaker.window import MissingBytes

__all__ = ["MemoryWindow", "PagedWindow", "run_rounds"]


class MemoryWindow:
    """A Window over bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def at(self, address: int, size: int) -> tuple[bytes, int]:
        if address < 0 or size < 0 or address + size > len(self.data):
            raise TruncatedError("beyond the end of the file", address=address, expected=size, got=len(self.data))
        return self.data, address

    def want(self, addresses: Sequence[int] | npt.NDArray[Any], size: int) -> None:
        pass

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        whole = np.frombuffer(self.data, "u1")
        if len(addresses) and int(addresses.max()) + size > len(self.data):
            raise TruncatedError("beyond the end of the file", address=int(addresses.max()), expected=size)
        return whole[addresses.astype("i8")[:, None] + np.arange(size)]


class PagedWindow(MemoryWindow):
    """A Window that holds nothing at first and raises `MissingBytes` for pages not yet fetched."""

    def __init__(self, data: bytes, page: int = 4096) -> None:
        super().__init__(data)
        self.page = page
        self.held: set[int] = set()

    def _pages(self, address: int, size: int) -> range:
        return range(address // self.page, -(-(address + size) // self.page))

    def _need(self, addresses: Sequence[int], size: int) -> None:
        missing = [a for a in addresses if not self.held.issuperset(self._pages(a, size))]
        if missing:
            raise MissingBytes(np.array(missing, "i8"), np.full(len(missing), size, "i8"))

    def at(self, address: int, size: int) -> tuple[bytes, int]:
        found = super().at(address, size)
        self._need([address], size)
        return found

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        found = super().rows(addresses, size)
        self._need([int(a) for a in addresses], size)
        return found

    def fetch(self, missing: MissingBytes) -> None:
        for address, size in zip(missing.addresses.tolist(), missing.sizes.tolist(), strict=True):
            self.held.update(self._pages(address, size))


def run_rounds(step: Callable[[], Any], window: PagedWindow, *, limit: int = 100) -> tuple[Any, int]:
    """Run `step` until nothing is missing; give its result and the number of fetches."""
    for rounds in range(limit):
        try:
            return step(), rounds
        except MissingBytes as missing:
            window.fetch(missing)
    raise RuntimeError(f"not done after {limit} rounds")
