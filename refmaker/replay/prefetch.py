"""Which chunks a reader will ask for next, from those that it asked for.

Contract: pure arithmetic over one chunk grid; nothing is read. A reader of a selection asks for the chunks of a box of
the grid in C order; a `Stream` follows one such walk, and learns the extents of its box where the walk turns round
before the end of the grid. Nothing is prefetched before two chunks came as expected; then ever more, twice as much
each time, up to a limit, never outside the grid. What was prefetched in vain is counted, and ends the prefetching of an
array where it is too much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refmaker.replay.strided_walk import StridedWalk

__all__ = ["Prefetcher", "Stream"]

_HITS = 2
"""Chunks that must come as expected before more are prefetched."""

_STREAMS = 8
"""Walks through one array that are followed at a time: as many as tasks usually read it."""

_CELLS = 4096
"""Chunks that are prefetched at a time, at most."""

_WASTE = 1 << 20
"""Bytes that may be read in vain for an array before that is held against what was of use."""


class Stream:
    """One walk through a box of the grid."""

    def __init__(self, grid: Sequence[int], cell: int, index: Sequence[int]) -> None:
        self.grid = grid
        self.low = [0, *index[1:]][: len(index)]
        self.high = list(grid)
        self.hits = 0
        self.bytes = 0
        self.window = 0
        self.ahead = 0
        self.at = self.cell = self.stop = 0
        self.front = 1
        self._arrive(cell, index)

    def step(self, cell: int, size: int) -> bool:
        """Take a chunk as the next of this walk, if it is the next cell of the grid and the walk goes on there."""
        if cell != self.cell + 1 or cell >= self.stop:
            return False
        self.at += 1
        self.front = max(self.front, self.at + 1)
        self.cell = cell
        self._count(size)
        return True

    def follow(self, cell: int, index: Sequence[int], size: int) -> bool:
        """Take a chunk as the next of this walk, if it is: as expected, among those prefetched, or behind a turn."""
        ordinal = self.ordinal(index)
        if ordinal != self.at + 1 and self._turned(cell, index):
            self._arrive(cell, index)
        elif ordinal is not None and self.at < ordinal <= self.front:
            self.front = max(self.front, ordinal + 1)
            self.at = ordinal
            self._stand(cell, index)
        else:
            return False
        self._count(size)
        return True

    def ordinal(self, index: Sequence[int]) -> int | None:
        """Return the place of a chunk in the walk, None where it is outside the box."""
        found = 0
        for i, low, high in zip(index, self.low, self.high, strict=True):
            if not low <= i < high:
                return None
            found = found * (high - low) + i - low
        return found

    def indices(self, ordinals: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """Return the indices in the grid of places in the walk, a column for each dimension."""
        extents = [high - low for low, high in zip(self.low, self.high, strict=True)]
        return tuple(
            np.asarray(column + low) for column, low in zip(np.unravel_index(ordinals, extents), self.low, strict=True)
        )

    @property
    def length(self) -> int:
        """Number of chunks in the box, from the start of the grid's first dimension."""
        return math.prod(high - low for low, high in zip(self.low, self.high, strict=True))

    def is_due(self) -> bool:
        """Return whether it is time to read ahead of this walk."""
        return self.hits >= _HITS and self.ahead <= self.window // 2

    def next_cells(self, grid: Sequence[int], start: int, limit: int) -> npt.NDArray[np.int64] | None:
        """Return the cells that the walk comes to next, as far as a window reaches that is no more than it used."""
        rest = self.length - self.front
        if rest <= 0:
            return None
        self.window = min(max(self.bytes, start), limit)
        size = max(self.bytes // (self.hits + 1), 1)
        count = min(rest, (self.window - self.ahead) // size + 1, _CELLS)
        ordinals = np.arange(self.front, self.front + count, dtype="i8")
        self.front += count
        return np.ravel_multi_index(self.indices(ordinals), grid).astype("i8")

    def give_back(self, cells: npt.NDArray[np.int64]) -> None:
        """Take back the end of a plan, which nobody reads for now."""
        self.front -= len(cells)

    def _arrive(self, cell: int, index: Sequence[int]) -> None:
        ordinal = self.ordinal(index)
        self.at = 0 if ordinal is None else ordinal
        self.front = self.at + 1
        self._stand(cell, index)

    def _stand(self, cell: int, index: Sequence[int]) -> None:
        """Keep where the walk is, and up to which cell its box holds one after the other."""
        self.cell = self.stop = cell
        below, within = 1, 0
        for i, low, high, extent in zip(*map(reversed, (index, self.low, self.high, self.grid)), strict=True):
            self.stop = cell - within + (high - i) * below
            if low or high < extent:
                break
            within += i * below
            below *= extent

    def _count(self, size: int) -> None:
        self.hits += 1
        self.bytes += size
        self.ahead = max(self.ahead - size, 0)

    def _turned(self, cell: int, index: Sequence[int]) -> bool:
        """Return whether the walk went on in the next row, before the end of this one, and keep where it turned."""
        last = index_of(self.cell, self.grid)
        rank = len(index)
        depth = next((d for d in range(rank) if index[d] != last[d]), rank)
        if depth >= rank - 1 or index[depth] != last[depth] + 1 or list(index[depth + 1 :]) != self.low[depth + 1 :]:
            return False
        self.high[depth + 1 :] = [i + 1 for i in last[depth + 1 :]]
        return True


class Prefetcher:
    """All walks through one array.

    Parameters
    ----------
    grid
        Number of chunks along each dimension.
    start, limit
        Bytes that are prefetched at first, and at most.
    """

    def __init__(self, grid: tuple[int, ...], *, start: int, limit: int) -> None:
        self.grid = grid
        self.start = start
        self.limit = limit
        self.used = 0
        self.wasted = 0
        self._streams: list[Stream] = []
        self._strided = StridedWalk(grid)

    def note(self, cell: int, size: int) -> Stream | StridedWalk | None:
        """Note that a chunk of `size` bytes was asked for; give the walk that it belongs to, if it was expected."""
        stream = self._followed(cell, size)
        if stream is not None and stream.hits >= _HITS:
            if self._strided.planned:
                self._strided.take(cell, size)
            return stream
        # Two tasks that swap neighbours on their way down look like many short walks upwards.
        found = self._strided.note(cell, size)
        self.wasted += self._strided.forget()
        return self._strided if found else stream

    def _followed(self, cell: int, size: int) -> Stream | None:
        """Return the walk in C order that a chunk belongs to; where there is none, one begins."""
        if self._streams and self._streams[0].step(cell, size):
            return self._streams[0]
        index = index_of(cell, self.grid)
        for place, stream in enumerate(self._streams):
            before = stream.ahead
            turning = stream.high[1:]
            if stream.follow(cell, index, size):
                if stream.high[1:] != turning:
                    self.wasted += before
                    stream.ahead = 0
                if place:
                    self._streams.insert(0, self._streams.pop(place))
                return stream
        self._streams.insert(0, Stream(self.grid, cell, index))
        self._streams[0].bytes = size
        for lost in self._streams[_STREAMS:]:
            self.wasted += lost.ahead
        del self._streams[_STREAMS:]
        return None

    def should_prefetch(self, walk: Stream | StridedWalk) -> bool:
        """Return whether it is time to read ahead."""
        return walk.is_due() and self.wasted <= _WASTE + self.used // 20

    def plan(self, walk: Stream | StridedWalk, room: int | None = None) -> npt.NDArray[np.int64] | None:
        """Return the cells that should be read now because the walk will come to them, None if there are none.

        Whoever reads them adds their bytes to `walk.ahead`.

        Parameters
        ----------
        room
            Bytes that there is memory for, where that is bounded.
        """
        if not self.should_prefetch(walk):
            return None
        limit = self.limit if isinstance(walk, StridedWalk) else min(self.limit, 2 * self.limit // len(self._streams))
        if room is not None:
            if room <= 0:
                return None
            limit = min(limit, walk.ahead + room)
        if isinstance(walk, StridedWalk):
            return walk.next_cells(self.start, limit)
        return walk.next_cells(self.grid, self.start, limit)


def index_of(cell: int, grid: Sequence[int]) -> tuple[int, ...]:
    """Return the index in a grid of a ravelled position."""
    index = []
    for extent in reversed(grid):
        cell, i = divmod(cell, extent)
        index.append(i)
    return tuple(reversed(index))
