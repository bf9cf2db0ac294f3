"""What was read ahead, until somebody comes for it.

Contract: bounded in bytes, by itself and with all other readers of the process (`refmaker.replay.prefetch_budget`).
Where there is no room, what was not touched for a while goes, oldest first; what is fresh stays, as a walk that is
under way comes for it, and less is read ahead instead. A block may still be on its way: who asks for a part of it then
waits, and is given back, to be asked for in another way, where the block does not come.
"""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from collections import OrderedDict

from refmaker.replay.prefetch import Prefetcher
from refmaker.replay.prefetch_budget import PrefetchShare
from refmaker.replay.requests import PendingRead

__all__ = ["PrefetchedRange", "PrefetchCache"]

_FRESH = 2.0
"""Seconds for which a block stays whoever else wants its place."""


class PrefetchedRange:
    """A range that was read ahead.

    Attributes
    ----------
    left
        Bytes of chunks in it that nobody has asked for yet.
    data
        The bytes, None as long as they are on their way.
    touched
        When somebody came for a part of it, or it began, by the clock of the cache.
    """

    __slots__ = ("__weakref__", "data", "left", "prefetcher", "start", "stop", "target", "touched", "waiting")

    def __init__(self, target: int, start: int, stop: int, left: int, prefetcher: Prefetcher) -> None:
        self.target = target
        self.start = start
        self.stop = stop
        self.left = left
        self.prefetcher = prefetcher
        self.data: bytes | None = None
        self.touched = time.monotonic()
        self.waiting: list[PendingRead] = []

    def arrive(self, data: bytes) -> None:
        """Take the bytes, and hand them to those who wait."""
        self.data = data
        waiting, self.waiting = self.waiting, []
        for want in waiting:
            want.give(data, self.start)


class PrefetchCache:
    """Blocks of all targets, by where they are.

    Parameters
    ----------
    limit
        Bytes that are kept, or on their way, at most.
    share
        Of what all readers of the process may hold.
    """

    def __init__(self, limit: int, share: PrefetchShare) -> None:
        self.limit = limit
        self.share = share
        self.held = 0
        self._starts: dict[int, list[int]] = {}
        self._blocks: OrderedDict[tuple[int, int], PrefetchedRange] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, block: PrefetchedRange) -> bool:
        return self._blocks.get((block.target, block.start)) is block

    def find(self, target: int, start: int, stop: int) -> PrefetchedRange | None:
        """Return the block that holds a range of a target."""
        starts = self._starts.get(target)
        at = bisect_right(starts, start) - 1 if starts else -1
        if not starts or at < 0:
            return None
        block = self._blocks[target, starts[at]]
        return block if stop <= block.stop else None

    def room(self, most: int) -> int:
        """Return how many bytes more can be taken, up to `most`; what is stale makes room."""
        room = min(self.limit - self.held, self.share.room(most))
        if room < most and self.shed(most - room):
            room = min(self.limit - self.held, self.share.room(most))
        return max(min(room, most), 0)

    def shed(self, size: int) -> int:
        """Let go of stale blocks, oldest first, until so many bytes are free; return how many are."""
        before, latest = self.held, time.monotonic() - _FRESH
        for block in list(self._blocks.values()):
            if before - self.held >= size or block.touched > latest:
                break
            if not block.waiting:
                block.prefetcher.wasted += max(block.left, 0)
                self.drop(block)
        return before - self.held

    def touch(self, block: PrefetchedRange) -> None:
        """Note that somebody came for a block."""
        block.touched = time.monotonic()
        if block in self:
            self._blocks.move_to_end((block.target, block.start))

    def add(self, block: PrefetchedRange) -> bool:
        """Take a block; return False where there is no room for it, or it is there."""
        size = block.stop - block.start
        if (block.target, block.start) in self._blocks or self.held + size > self.limit or not self.share.take(size):
            return False
        self._blocks[block.target, block.start] = block
        insort(self._starts.setdefault(block.target, []), block.start)
        self.held += size
        return True

    def drop(self, block: PrefetchedRange) -> list[PendingRead]:
        """Let go of a block; give who waited for it."""
        if block in self:
            del self._blocks[block.target, block.start]
            self._starts[block.target].remove(block.start)
            self.held -= block.stop - block.start
            self.share.give(block.stop - block.start)
            block.data = None
        waiting, block.waiting = block.waiting, []
        return waiting
