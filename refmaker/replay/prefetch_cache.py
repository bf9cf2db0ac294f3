"""What was read ahead, until somebody comes for it.

Contract: bounded in bytes; the oldest goes first. A block may still be on its way: who asks for a part of it then
waits, and is given back, to be asked for in another way, where the block does not come.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict

from refmaker.replay.prefetch import Prefetcher
from refmaker.replay.requests import PendingRead

__all__ = ["PrefetchedRange", "PrefetchCache"]


class PrefetchedRange:
    """A range that was read ahead.

    Attributes
    ----------
    left
        Bytes of chunks in it that nobody has asked for yet.
    data
        The bytes, None as long as they are on their way.
    """

    __slots__ = ("__weakref__", "data", "left", "prefetcher", "start", "stop", "target", "waiting")

    def __init__(self, target: int, start: int, stop: int, left: int, prefetcher: Prefetcher) -> None:
        self.target = target
        self.start = start
        self.stop = stop
        self.left = left
        self.prefetcher = prefetcher
        self.data: bytes | None = None
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
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
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

    def add(self, block: PrefetchedRange) -> list[PendingRead] | None:
        """Take a block, and let go of the oldest where there is no room.

        Returns
        -------
        list
            Who waited for those; None where the block is not taken.
        """
        size = block.stop - block.start
        if (block.target, block.start) in self._blocks or size > self.limit:
            return None
        waiters: list[PendingRead] = []
        while self.held + size > self.limit:
            oldest = next(iter(self._blocks.values()))
            oldest.prefetcher.wasted += max(oldest.left, 0)
            waiters += self.drop(oldest)
        self._blocks[block.target, block.start] = block
        insort(self._starts.setdefault(block.target, []), block.start)
        self.held += size
        return waiters

    def drop(self, block: PrefetchedRange) -> list[PendingRead]:
        """Let go of a block; give who waited for it."""
        if block in self:
            del self._blocks[block.target, block.start]
            self._starts[block.target].remove(block.start)
            self.held -= block.stop - block.start
            block.data = None
        waiting, block.waiting = block.waiting, []
        return waiting
