"""Reads of targets, put together: what is asked for at one time goes out in few requests, and what comes next early.

Contract: every request ends, within the time of the opener, in exactly its bytes or in an error. Requests of one turn
of the event loop for one target are sorted and merged across small gaps; chunks that are read in order are read ahead
(`refmaker.replay.ahead`), after what was asked for, and kept until they are asked for, within `MEMORY`. What fails for
a reason that may go away is tried again a few times, each after a longer, random pause. A range that was read ahead in
vain is asked for again when it is wanted, so that an error is always that of the one who wants the data.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import SourceError
from refmaker.manifest.manifest import References
from refmaker.ranges import coalesce
from refmaker.replay.ahead import Foresight, Stream
from refmaker.replay.faults import transient
from refmaker.replay.stores import Store

__all__ = ["Engine", "Request", "Variable"]

SMALL = 128 * 1024
"""Bytes: requests of more are neither merged nor foreseen; they are worth a connection each."""

BLOCK = 1 << 20
"""Bytes of merged requests, at most: more would be slower in one connection than in several."""

START, LIMIT = 1 << 18, 1 << 25
"""Bytes that are read ahead of one walk through an array, at first and at most."""

MEMORY = 1 << 26
"""Bytes that are kept of what was read ahead."""

KEPT = 60.0
"""Seconds for which it is kept."""

PARALLEL, PARALLEL_AHEAD = 128, 16
"""Requests under way at a time, for what is wanted now and for what is read ahead."""

PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before the first and before any new attempt, twice what they are on average."""

_GAP = 4096
"""Bytes that are read in any case where they lie between two ranges; more of them only beside larger ranges."""

_FAR = 1 << 62
"""Bytes: farther than any target reaches."""


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes wanted of a target: `size` from `offset`, or all of it where `size` is None. `key` is what they are for."""

    key: str
    target: int
    offset: int
    size: int | None


class Variable:
    """An array whose chunks are foreseen.

    Parameters
    ----------
    grid
        Number of chunks along each dimension.
    """

    def __init__(self, path: str, grid: tuple[int, ...], references: References) -> None:
        self.path = path
        self.references = references
        self.complete = len(references.cell) == math.prod(grid)
        self.grid = grid if self.complete else (len(references.cell),)

    def position(self, cell: int) -> int | None:
        """Give the place of a chunk in `self.grid`; chunks that are no rows have none, and are nobody's next."""
        if self.complete:
            return cell
        row = int(np.searchsorted(self.references.cell, cell))
        return row if row < len(self.references.cell) and self.references.cell[row] == cell else None

    def rows(self, positions: npt.NDArray[np.int64]) -> tuple[References, npt.NDArray[np.int64]]:
        """Give the references of chunks, as columns and rows of them."""
        return self.references, positions


class _Block:
    """A range that was read ahead: its bytes once they are there, and who waits for them."""

    __slots__ = ("code", "data", "foresight", "left", "start", "stop", "waiting")

    def __init__(self, code: int, start: int, stop: int, left: int, foresight: Foresight) -> None:
        self.foresight = foresight
        self.code = code
        self.start = start
        self.stop = stop
        self.left = left
        self.data: bytes | None = None
        self.waiting: list[_Want] = []


class _Want:
    """A request and the future of its bytes."""

    __slots__ = ("future", "request", "start", "stop")

    def __init__(self, request: Request, future: asyncio.Future[bytes]) -> None:
        self.request = request
        self.start = request.offset
        self.stop = request.offset + (request.size or 0)
        self.future = future

    def give(self, data: bytes, origin: int) -> None:
        if not self.future.done():
            whole = origin == self.start and len(data) == self.stop - self.start
            self.future.set_result(data if whole else data[self.start - origin : self.stop - origin])

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # who was cancelled meanwhile does not ask for it


class Engine:
    """Reads of the targets of one manifest, in one event loop.

    Parameters
    ----------
    connect
        Gives the store of a target by number.
    explain
        Makes the error that a reader sees, from a request and what went wrong.
    timeout, attempts
        Seconds in which a read must end; how often it is tried.
    """

    def __init__(
        self,
        connect: Callable[[int], Awaitable[Store]],
        explain: Callable[[Request, Exception], Exception],
        *,
        timeout: float,
        attempts: int,
    ) -> None:
        self.connect = connect
        self.explain = explain
        self.timeout = timeout
        self.attempts = attempts
        self._loop = asyncio.get_running_loop()
        self._stores: dict[int, Store] = {}
        self._pending: dict[int, list[_Want]] = {}
        self._due: dict[int, tuple[Variable, Foresight, Stream]] = {}
        self._foresights: dict[str, Foresight] = {}
        self._starts: dict[int, list[int]] = {}
        self._blocks: OrderedDict[tuple[int, int], _Block] = OrderedDict()
        self._held = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate, self._ahead = asyncio.Semaphore(PARALLEL), asyncio.Semaphore(PARALLEL_AHEAD)

    # Asking

    async def read(self, request: Request, variable: Variable | None = None, cell: int = 0) -> bytes:
        """Give what is wanted; raises what `explain` makes of a failure.

        Parameters
        ----------
        variable, cell
            What chunk it is, where others are likely to follow.
        """
        got = self._begin(request)
        if variable is not None and request.size is not None and request.size <= SMALL:
            self.foresee(variable, cell, request.size)
        return got if isinstance(got, bytes) else await got

    async def read_all(
        self, requests: Iterable[Request], variable: Variable | None = None, cell: int = 0
    ) -> list[bytes | Exception]:
        """Give all that is wanted, for each its bytes or its error; see `read`."""
        requests = list(requests)
        begun = [self._begin(request) for request in requests]
        if variable is not None:
            self.foresee(variable, cell, sum(request.size or 0 for request in requests))
        return [got if isinstance(got, bytes) else await _outcome(got) for got in begun]

    def _begin(self, request: Request) -> bytes | asyncio.Future[bytes]:
        """Give bytes that are there, else the future of those that are on their way from now on."""
        if request.size == 0:
            return b""
        want = _Want(request, self._loop.create_future())
        block = self._block(request.target, want.start, want.stop) if request.size else None
        if block is not None:
            return self._take(block, want)
        self._ask(want)
        return want.future

    def _ask(self, want: _Want) -> None:
        """Put a request among those that go out at the end of this turn of the event loop."""
        self._schedule()
        self._pending.setdefault(want.request.target, []).append(want)

    def _schedule(self) -> None:
        if not self._pending and not self._due:
            self._loop.call_soon(self._flush)

    # Merging

    def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        for code, wants in pending.items():
            store = self._stores.get(code)
            for start, stop, group in _merged(wants, _GAP if store is None else store.gap):
                data = None if store is None or stop is None else store.now(start, stop)
                if data is None:
                    self._run(self._serve(code, start, stop, group))
                else:
                    for want in group:
                        want.give(data, start)
        due, self._due = self._due, {}
        for each in due.values():
            self._read_ahead(*each)

    async def _serve(self, code: int, start: int, stop: int | None, group: list[_Want]) -> None:
        try:
            data = await self._fetch(self._gate, code, start, stop)
        except Exception as error:  # noqa: BLE001 - every filesystem raises errors of its own
            for want in group:
                want.fail(self._explained(want.request, error))
            return
        except BaseException:
            for want in group:
                want.future.cancel()
            raise
        for want in group:
            if want.request.size is None:
                want.stop = len(data)
            want.give(data, start)

    async def _fetch(self, gate: asyncio.Semaphore, code: int, start: int, stop: int | None) -> bytes:
        """Read one range, all of it."""
        async with gate, asyncio.timeout(self.timeout):
            for attempt in range(1, self.attempts):
                try:
                    return await self._attempt(code, start, stop)
                except Exception as error:  # every filesystem raises errors of its own
                    if not transient(error):
                        raise
                await asyncio.sleep(min(PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.25, 0.75))  # noqa: S311
            return await self._attempt(code, start, stop)

    async def _attempt(self, code: int, start: int, stop: int | None) -> bytes:
        store = self._stores.get(code)
        if store is None:
            store = self._stores[code] = await self.connect(code)
        data = None if stop is None else store.now(start, stop)
        if data is None:
            data = await store.read(start, stop)
        if stop is not None and len(data) != stop - start:
            message = "came back with another length: a changed file, or a server that does not serve ranges?"
            raise SourceError(message, expected=stop - start, got=len(data))
        return data

    def _explained(self, request: Request, error: Exception) -> Exception:
        try:
            return self.explain(request, error)
        except Exception as another:  # noqa: BLE001 - whatever it is, the reader must not wait for ever
            return another

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Reading ahead

    def foresee(self, variable: Variable, cell: int, size: int) -> None:
        """Note a chunk that was asked for, and read what is likely to be asked for next."""
        position = variable.position(cell)
        if position is None:
            return
        foresight = self._foresights.get(variable.path)
        if foresight is None:
            foresight = self._foresights[variable.path] = Foresight(variable.grid, start=START, limit=LIMIT)
        stream = foresight.note(position, size)
        if stream is not None and foresight.due(stream):
            self._schedule()
            self._due[id(stream)] = variable, foresight, stream

    def _read_ahead(self, variable: Variable, foresight: Foresight, stream: Stream) -> None:
        positions = foresight.plan(stream)
        if positions is None:
            return
        for code, start, stop, used in self._ranges(variable, positions, stream.window // 4):
            stream.ahead += used
            self._add(_Block(code, start, stop, used, foresight))

    def _ranges(
        self, variable: Variable, positions: npt.NDArray[np.int64], block: int
    ) -> Iterator[tuple[int, int, int, int]]:
        """Give the merged ranges of chunks: target, start, stop, and bytes of chunks in it."""
        references, rows = variable.rows(positions)
        codes, starts, sizes = references.target[rows], references.offset[rows], references.size[rows]
        fit = (sizes > 0) & (sizes <= SMALL) & (starts < _FAR)
        for code in np.unique(codes[fit]).tolist():
            store = self._stores.get(code)
            farthest, longest = (_GAP, START) if store is None else (store.gap, store.block)
            mine = fit & (codes == code)
            first, size = starts[mine].astype("i8"), sizes[mine].astype("i8")
            gap = min(farthest, max(_GAP, int(size.mean()) // 2))
            merged = coalesce(first, first + size, gap=gap, block=min(max(block, START), longest))
            used = np.bincount(np.searchsorted(merged[0], first, side="right") - 1, size)
            for start, stop, useful in zip(merged[0].tolist(), merged[1].tolist(), used.tolist(), strict=True):
                yield code, start, stop, int(useful)

    def _add(self, block: _Block) -> None:
        size = block.stop - block.start
        if (block.code, block.start) in self._blocks or size > MEMORY:
            return
        while self._held + size > MEMORY:
            oldest = next(iter(self._blocks.values()))
            oldest.foresight.wasted += max(oldest.left, 0)
            self._drop(oldest)
        self._blocks[block.code, block.start] = block
        insort(self._starts.setdefault(block.code, []), block.start)
        self._held += size
        self._loop.call_later(KEPT, self._drop, block)
        self._run(self._fill(block))

    async def _fill(self, block: _Block) -> None:
        await asyncio.sleep(0)  # what was asked for in this turn goes first
        try:
            data = await self._fetch(self._ahead, block.code, block.start, block.stop)
        except Exception:  # noqa: BLE001 - who wants these bytes asks again, and gets the error
            self._drop(block)
            return
        waiting, block.waiting = block.waiting, []
        for want in waiting:
            want.give(data, block.start)
        if block.left <= 0:
            self._drop(block)
        elif self._blocks.get((block.code, block.start)) is block:
            block.data = data

    def _block(self, code: int, start: int, stop: int) -> _Block | None:
        """Give the block that holds a range."""
        starts = self._starts.get(code)
        at = bisect_right(starts, start) - 1 if starts else -1
        if not starts or at < 0:
            return None
        block = self._blocks[code, starts[at]]
        return block if stop <= block.stop else None

    def _take(self, block: _Block, want: _Want) -> bytes | asyncio.Future[bytes]:
        block.left -= want.stop - want.start
        block.foresight.used += want.stop - want.start
        if block.data is None:
            block.waiting.append(want)
            return want.future
        data = block.data[want.start - block.start : want.stop - block.start]
        if block.left <= 0:
            self._drop(block)
        return data

    def _drop(self, block: _Block) -> None:
        """Forget a block. Who waits for it asks for itself."""
        if self._blocks.get((block.code, block.start)) is not block:
            return
        del self._blocks[block.code, block.start]
        self._starts[block.code].remove(block.start)
        self._held -= block.stop - block.start
        block.data = None
        waiting, block.waiting = block.waiting, []
        for want in waiting:
            self._ask(want)


def _merged(wants: list[_Want], gap: int) -> Iterator[tuple[int, int | None, list[_Want]]]:
    """Merge small requests that lie close together; give start, stop (None: all of the target) and requests."""
    group: list[_Want] = []
    stop = 0
    for want in sorted(wants, key=_start):
        size = want.stop - want.start
        if want.request.size is None or size > SMALL:
            yield want.start, None if want.request.size is None else want.stop, [want]
            continue
        near = want.start - stop <= min(gap, max(_GAP, size // 2))
        if group and not (near and max(stop, want.stop) - group[0].start <= BLOCK):
            yield group[0].start, stop, group
            group = []
        stop = max(stop, want.stop) if group else want.stop
        group.append(want)
    if group:
        yield group[0].start, stop, group


def _start(want: _Want) -> int:
    return want.start


async def _outcome(future: asyncio.Future[bytes]) -> bytes | Exception:
    try:
        return await future
    except Exception as error:  # noqa: BLE001 - given, not hidden
        return error
