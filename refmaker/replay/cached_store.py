"""A target whose ranges are kept on disk.

Contract: a store as `refmaker.replay.stores` has it. What is on disk needs no server; everything else is read from the
target and kept if the answer itself proved that it is of the version that the manifest recorded. Writing is no part of
reading: it happens in a thread, and where it cannot keep up, what is read is not kept.
"""

from __future__ import annotations

import threading

from refmaker import limits
from refmaker.replay.disk_cache import CachedRanges
from refmaker.replay.stores import RangedStore
from refmaker.replay.threads import threads

__all__ = ["CachedStore"]


class CachedStore:
    """A target behind a cache; see `Store`.

    Parameters
    ----------
    ranges
        What is kept of the version that the manifest recorded.
    """

    gap = 0
    """Nothing between two chunks is read along: only so do the chunks that a reader had make up what it asks for next
    time, in whatever order."""

    def __init__(self, store: RangedStore, ranges: CachedRanges) -> None:
        self.store = store
        self.ranges = ranges
        self.block = store.block

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        """See `Store.read_nowait`."""
        return self.ranges.find(start, stop)

    async def read(self, start: int, stop: int | None) -> bytes:
        """See `Store.read`."""
        data, proved = await self.store.read_proved(start, stop)
        if proved and stop is not None and 0 < len(data) <= limits.CACHED_RANGE:
            _keep(self.ranges, start, data)
        return data


class _Waiting:
    """Bytes that wait to be written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.size = 0

    def add(self, size: int) -> bool:
        with self.lock:
            if self.size + size > limits.CACHED_WAITING:
                return False
            self.size += size
            return True


_waiting = _Waiting()


def _keep(ranges: CachedRanges, start: int, data: bytes) -> None:
    if not _waiting.add(len(data)):
        return

    def write() -> None:
        try:
            ranges.put(start, data)
        finally:
            _waiting.add(-len(data))

    threads("cache", 1).submit(write)
