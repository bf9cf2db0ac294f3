"""A Window that remembers what was read through it, to tell how a file's metadata lie.

Contract: passes every call on; `extent` merges what was read into blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refmaker.ranges import union
from refmaker.window import Addresses, Buffer, Window

__all__ = ["RecordingWindow"]


class RecordingWindow:
    """A Window around another."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._starts: list[npt.NDArray[np.int64]] = []
        self._stops: list[npt.NDArray[np.int64]] = []

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.window.size

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        found = self.window.at(address, size)
        self._remember(np.array([address], "i8"), size)
        return found

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        self.window.want(addresses, size)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        rows = self.window.rows(addresses, size)
        self._remember(addresses.astype("i8"), size)
        return rows

    def extent(self) -> tuple[int, int]:
        """Return the bytes that were read, each counted once, and the number of blocks that they form."""
        blocks = self.blocks()
        return sum(stop - start for start, stop in blocks), len(blocks)

    def blocks(self) -> list[tuple[int, int]]:
        """Return the blocks that were read, as starts and stops in the file."""
        if not self._starts:
            return []
        starts, stops = union(np.concatenate(self._starts), np.concatenate(self._stops))
        return list(zip(starts.tolist(), stops.tolist(), strict=True))

    def _remember(self, starts: npt.NDArray[np.int64], size: int) -> None:
        if size:
            self._starts.append(starts)
            self._stops.append(starts + size)
