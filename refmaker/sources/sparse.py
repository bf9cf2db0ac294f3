"""The sparse image of a remote file: the bytes that were fetched, and what is missing.

Contract: `at` and `rows` give bytes that are here or raise `MissingBytes`, with what the call needs and all that was
announced since the last one (`want`); some of it may be here already. `store` puts fetched bytes in, `lacking` tells
what of some ranges is not here. Nothing that was fetched is dropped: `refmaker.sources.memory_budget` bounds how much
that is.

Bytes are kept as they came, in one buffer for each round. An *extent* is a run of the file that lies in one piece in
one of these buffers; extents do not overlap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from refmaker.errors import TruncatedError
from refmaker.ranges import difference
from refmaker.window import Addresses, Buffer, MissingBytes

__all__ = ["SparseWindow"]

Ints = npt.NDArray[np.int64]


class SparseWindow:
    """A Window over the bytes fetched so far of a file of known size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffers: list[bytes] = []
        # Columns of the extents, sorted by start. Byte `a` of the file stands at `a + shift` of its buffer.
        self._start = self._stop = self._number = self._shift = np.empty(0, "i8")
        # The first two again: bisecting a list is what a read costs.
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._wanted: list[tuple[Ints, int]] = []
        # The extent last read from, as most reads are near the one before.
        self._low = self._high = self._low_shift = 0
        self._low_buffer = b""

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._size

    @property
    def extents(self) -> tuple[Ints, Ints]:
        """Starts and stops of what is here, sorted and disjoint."""
        return self._start, self._stop

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        if self._low <= address <= address + size <= self._high:
            return self._low_buffer, address + self._low_shift
        if address < 0 or size < 0 or address + size > self._size:
            self._beyond(address, size)
        if size == 0:
            return b"", 0
        i = bisect_right(self._starts, address) - 1
        if i < 0 or address >= self._stops[i]:
            self._miss(np.array([address]), size)
        if address + size > self._stops[i]:
            return self._joined(i, address, size), 0
        self._low, self._high = self._starts[i], self._stops[i]
        self._low_buffer, self._low_shift = self._buffers[self._number[i]], int(self._shift[i])
        return self._low_buffer, address + self._low_shift

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`: noted for the next round, as far as it is not here, cut at the end of the file."""
        if len(addresses) == 1:
            address = int(addresses[0])
            stop = min(address + size, self._size)
            i = bisect_right(self._starts, address) - 1
            if address >= stop or (i >= 0 and stop <= self._stops[i]):
                return
        starts = np.asarray(addresses, "u8")
        starts = starts[starts < np.uint64(self._size)].astype("i8")
        here, _ = self._find(starts, np.minimum(min(size, self._size), self._size - starts))
        if not here.all():
            self._wanted.append((starts[~here], min(size, self._size)))

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        if len(addresses) == 0:
            return np.empty((0, size), "u1")
        last = int(addresses.max())
        if size < 0 or last + size > self._size:
            self._beyond(last, size)
        out = np.empty((len(addresses), size), "u1")
        if size == 0:
            return out
        starts = addresses.astype("i8")
        here, extents = self._find(starts, np.full(len(starts), size))
        if not here.all():
            split = starts[~here]
            if len(self.lacking(split, split + size)[0]):
                self._miss(split, size)
        numbers = self._number[extents]
        for number in np.unique(numbers[here]).tolist():
            own = here & (numbers == number)
            out[own] = _rows_of(self._buffers[number], starts[own] + self._shift[extents[own]], size)
        for i in np.flatnonzero(~here).tolist():
            buf, pos = self.at(int(starts[i]), size)
            out[i] = np.frombuffer(buf, "u1", size, pos)
        return out

    def lacking(self, starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
        """Return what of these ranges is not here, sorted and disjoint."""
        return difference(starts, stops, self._start, self._stop)

    def store(self, addresses: Sequence[int], pieces: Sequence[bytes]) -> None:
        """Put in what a round has fetched: pieces that begin at `addresses`, sorted and disjoint."""
        if not pieces:
            return
        sizes = np.array([len(piece) for piece in pieces], "i8")
        start = np.array(addresses, "i8")
        self._buffers.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._start = np.concatenate([self._start, start])
        self._stop = np.concatenate([self._stop, start + sizes])
        self._shift = np.concatenate([self._shift, np.cumsum(sizes) - sizes - start])
        self._number = np.concatenate([self._number, np.full(len(start), len(self._buffers) - 1)])
        self._settle()

    def _settle(self) -> None:
        """Sort the extents, have them overlap no more, and make one of those that lie side by side."""
        self._take(np.lexsort((-self._stop, self._start)))
        reach = np.maximum.accumulate(self._stop)
        self._take(np.flatnonzero(np.append(self._stop[0] > self._start[0], self._stop[1:] > reach[:-1])))
        if len(self._start) > 1:
            self._stop = np.append(np.minimum(self._stop[:-1], self._start[1:]), self._stop[-1])
            new = self._start[1:] != self._stop[:-1]
            new |= self._number[1:] != self._number[:-1]
            new |= self._shift[1:] != self._shift[:-1]
            stop = self._stop[np.append(new, True)]
            self._take(np.flatnonzero(np.append(True, new)))
            self._stop = stop
        self._starts, self._stops = self._start.tolist(), self._stop.tolist()
        self._low = self._high = self._low_shift = 0
        self._low_buffer = b""

    def _take(self, rows: npt.NDArray[np.int64]) -> None:
        self._start, self._stop = self._start[rows], self._stop[rows]
        self._number, self._shift = self._number[rows], self._shift[rows]

    def _find(self, starts: Ints, sizes: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
        """Return which ranges lie in one extent, and give the extent where each begins."""
        if len(self._start) == 0:
            return np.zeros(len(starts), bool), np.zeros(len(starts), "i8")
        extents = np.searchsorted(self._start, starts, "right") - 1
        return (extents >= 0) & (starts + sizes <= self._stop[extents]), extents

    def _joined(self, i: int, address: int, size: int) -> bytes:
        """Put a range together that begins in extent `i` and ends in a later one."""
        parts, here, stop = [], address, address + size
        while here < stop:
            if i == len(self._starts) or not self._starts[i] <= here < self._stops[i]:
                self._miss(np.array([address]), size)
            until, shift = min(stop, self._stops[i]), int(self._shift[i])
            parts.append(self._buffers[self._number[i]][here + shift : until + shift])
            here, i = until, i + 1
        return b"".join(parts)

    def _miss(self, starts: Ints, size: int) -> NoReturn:
        """Raise `MissingBytes` for `size` bytes from each start and all that was announced."""
        wanted, self._wanted = [*self._wanted, (starts, size)], []
        every = np.concatenate([some for some, _ in wanted])
        sizes = np.concatenate([np.full(len(some), length) for some, length in wanted])
        raise MissingBytes(every, np.minimum(sizes, self._size - every))

    def _beyond(self, address: int, size: int) -> NoReturn:
        raise TruncatedError(
            "reaches beyond the end of the file",
            address=address,
            expected=f"{size} bytes",
            got=f"a file of {self._size}",
        )


def _rows_of(buffer: bytes, positions: Ints, size: int) -> npt.NDArray[np.uint8]:
    """Return `size` bytes from each position of a buffer."""
    whole = np.frombuffer(buffer, "u1")
    # Every start of a row as a row of its own, without a copy; the look-up copies the rows asked for.
    strided = np.lib.stride_tricks.as_strided(
        whole, shape=(len(whole) - size + 1, size), strides=(1, 1), writeable=False
    )
    rows: npt.NDArray[np.uint8] = strided[positions]
    return rows
