"""Reads of targets, put together: what is asked for at one time goes out in few requests, and what comes next early.

Contract: every request ends, within the time of the opener, in exactly its bytes or in an error. Requests of one turn
of the event loop for one target are sorted and merged across small gaps; chunks that are read in order are read ahead
(`refmaker.replay.prefetch`), after what was asked for, and kept until they are asked for, within `MEMORY`. What fails
for a reason that may go away is tried again a few times, each after a longer, random pause. A range that was read ahead
in vain is asked for again when it is wanted, so that an error is always that of the one who wants the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter

from refmaker import limits
from refmaker.errors import SourceError
from refmaker.replay.array_state import ArrayState
from refmaker.replay.coalesce import (
    BLOCK,
    MAX_COALESCED_REQUEST,
    MIN_GAP,
    coalesce_requests,
    coalesce_sorted,
    prefetch_ranges,
)
from refmaker.replay.deadline import deadline
from refmaker.replay.prefetch import Prefetcher, Stream
from refmaker.replay.prefetch_cache import PrefetchCache, PrefetchedRange
from refmaker.replay.requests import PendingRead, ReadRequest
from refmaker.replay.stores import Store
from refmaker.retry import Gate, RetryPolicy, is_overload, retry_async

__all__ = ["Engine", "ArrayState"]

START, LIMIT = 1 << 18, 1 << 25
"""Bytes that are read ahead of one walk through an array, at first and at most."""

MEMORY = limits.AHEAD_KEPT
"""Bytes that are kept of what was read ahead."""

KEPT = 60.0
"""Seconds for which it is kept."""

PARALLEL, PARALLEL_AHEAD = 128, 16
"""Requests under way at a time, for what is wanted now and for what is read ahead."""

PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before the first and before any new attempt, twice what they are on average."""


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
    gate
        Gives what requests for a target go through, by its number: one for all, unless it is said.
    """

    def __init__(
        self,
        connect: Callable[[int], Awaitable[Store]],
        explain: Callable[[ReadRequest, Exception], Exception],
        *,
        timeout: float,
        attempts: int,
        gate: Callable[[int], Gate] | None = None,
    ) -> None:
        self.connect = connect
        self.explain = explain
        self.timeout = timeout
        self.attempts = attempts
        self._loop = asyncio.get_running_loop()
        self._stores: dict[int, Store] = {}
        self._pending: dict[int, list[PendingRead]] = {}
        self._to_prefetch: dict[int, tuple[ArrayState, Prefetcher, Stream]] = {}
        self._foresights: dict[str, Prefetcher] = {}
        self._blocks = PrefetchCache(MEMORY)
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._policy = RetryPolicy(attempts, PAUSE, LONGEST_PAUSE)
        self._ahead = Gate(PARALLEL_AHEAD)
        only = Gate(PARALLEL)
        self._gate = (lambda _: only) if gate is None else gate

    # Asking

    def read_nowait(self, code: int, start: int, stop: int, variable: ArrayState, cell: int) -> bytes | None:
        """Return what is wanted of a chunk if that takes no waiting; None where it would, or where it fails."""
        block = self._blocks.find(code, start, stop) if self._blocks else None
        if block is None:
            store = self._stores.get(code)
            data = None if store is None else store.read_nowait(start, stop)
        else:
            data = None if block.data is None else self._cut(block, start, stop)
        if data is not None and (due := self._observed(variable, cell, stop - start)) is not None:
            self._prefetch(*due)
        return data

    async def read(self, request: ReadRequest, variable: ArrayState | None = None, cell: int = 0) -> bytes:
        """Return what is wanted; raises what `explain` makes of a failure.

        Parameters
        ----------
        variable, cell
            What chunk it is, where others are likely to follow.
        """
        got = self.begin(request)
        if variable is not None and request.size is not None and request.size <= MAX_COALESCED_REQUEST:
            self.observe(variable, cell, request.size)
        return got if isinstance(got, bytes) else await got

    async def read_all(self, requests: Sequence[ReadRequest]) -> list[bytes | Exception]:
        """Return all that is wanted, for each its bytes or its error; see `read`."""
        rows = [(r.target, r.offset, r.size, place) for place, r in enumerate(requests) if r.size is not None]
        out = await self.read_rows(rows, [request.key for request in requests])
        wholes = [(place, self.begin(request)) for place, request in enumerate(requests) if request.size is None]
        for place, got in wholes:
            out[place] = got if isinstance(got, bytes) else await _outcome(got)
        return out

    async def read_rows(
        self, rows: Iterable[tuple[int, int, int, int]], keys: Sequence[str]
    ) -> list[bytes | Exception]:
        """Return ranges, for each its bytes or its error, at its place in a list as long as `keys`.

        Parameters
        ----------
        rows
            Target, offset, size and place of each.
        keys
            What they are for, by place.
        """
        rows = sorted(rows)
        await self.prepare({row[0] for row in rows})
        out: list[bytes | Exception] = [b""] * len(keys)
        begun: list[tuple[list[tuple[int, int, int, int]], int, asyncio.Future[bytes]]] = []
        for code, mine in itertools.groupby(rows, key=itemgetter(0)):
            held = list(mine)
            parts = self.begin_all("", code, [row[1] for row in held], [row[2] for row in held], explained=False)
            for part, origin, data in parts:
                if isinstance(data, bytes):
                    for _, start, size, place in held[part]:
                        out[place] = data[start - origin : start - origin + size]
                else:
                    begun.append((held[part], origin, data))
        for held, origin, data in begun:
            outcome = await _outcome(data)
            for code, start, size, place in held:
                if isinstance(outcome, bytes):
                    out[place] = outcome[start - origin : start - origin + size]
                else:
                    out[place] = self.explain(ReadRequest(keys[place], code, start, size), outcome)
        return out

    async def prepare(self, codes: Iterable[int]) -> None:
        """Make the stores of targets, so that it is known how they are read best. Failures are left to reading."""
        new = [code for code in codes if code not in self._stores]
        if new:
            await asyncio.gather(*map(self._prepare, new))

    async def _prepare(self, code: int) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout_at(deadline(self.timeout)), self._gate(code):
                store = await self.connect(code)
            self._stores.setdefault(code, store)

    def begin_all(
        self, key: str, code: int, starts: Sequence[int], sizes: Sequence[int], *, explained: bool = True
    ) -> Iterator[tuple[slice, int, bytes | asyncio.Future[bytes]]]:
        """Begin to read many ranges of a target, put together as far as they lie close together.

        Parameters
        ----------
        starts, sizes
            Of the ranges, sorted by start.
        explained
            What goes wrong is given as `explain` makes it for `key`, not as it was.

        Yields
        ------
        places
            Some of the ranges, one after the other.
        start
            Of the bytes that hold them all.
        data
            Those bytes, or the future of them.
        """
        store = self._stores.get(code)
        farthest, longest = (MIN_GAP, BLOCK) if store is None else (store.gap, store.block)
        find = partial(self._blocks.find, code) if self._blocks else None
        for places, start, stop, block, useful in coalesce_sorted(starts, sizes, farthest, longest, find):
            request = ReadRequest(key, code, start, stop - start)
            yield places, start, self._together(request, block, useful, explained)

    def _together(
        self, request: ReadRequest, block: PrefetchedRange | None, useful: int, explained: bool
    ) -> bytes | asyncio.Future[bytes]:
        """Begin to read one range, out of a block where that has it; `useful` bytes of it are wanted."""
        want = PendingRead(request, self._loop.create_future(), explained, deadline(self.timeout))
        if want.stop == want.start:
            return b""
        if block is not None and block in self._blocks:
            return self._take(block, want, useful)
        store = self._stores.get(request.target)
        data = None if store is None else store.read_nowait(want.start, want.stop)
        if data is not None:
            return data
        self._ask([want])
        return want.future

    def begin(self, request: ReadRequest) -> bytes | asyncio.Future[bytes]:
        """Return bytes that are there, else the future of those that are on their way from now on."""
        if request.size == 0:
            return b""
        want = PendingRead(request, self._loop.create_future(), deadline=deadline(self.timeout))
        block = self._blocks.find(request.target, want.start, want.stop) if request.size else None
        if block is not None:
            return self._take(block, want)
        self._ask([want])
        return want.future

    def _take(
        self, block: PrefetchedRange, want: PendingRead, useful: int | None = None
    ) -> bytes | asyncio.Future[bytes]:
        """Return bytes out of a block, or the future of those that are on their way."""
        if block.data is not None:
            return self._cut(block, want.start, want.stop, useful)
        size = want.stop - want.start if useful is None else useful
        block.left -= size
        block.prefetcher.used += size
        block.waiting.append(want)
        return want.future

    def _cut(self, block: PrefetchedRange, start: int, stop: int, useful: int | None = None) -> bytes:
        """Return bytes out of a block that is here; of them, `useful` are wanted, all if that is not said."""
        size = stop - start if useful is None else useful
        block.left -= size
        block.prefetcher.used += size
        data = (block.data or b"")[start - block.start : stop - block.start]
        if block.left <= 0:
            self._drop(block)
        return data

    def _ask(self, wants: Iterable[PendingRead]) -> None:
        """Put requests among those that go out at the end of this turn of the event loop."""
        for want in wants:
            self._schedule()
            self._pending.setdefault(want.request.target, []).append(want)

    def _schedule(self) -> None:
        if not self._pending and not self._to_prefetch:
            self._loop.call_soon(self._flush)

    # Merging

    def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        for code, wants in pending.items():
            store = self._stores.get(code)
            for start, stop, group in coalesce_requests(wants, MIN_GAP if store is None else store.gap):
                data = None if store is None or stop is None else store.read_nowait(start, stop)
                if data is None:
                    until = max(want.deadline for want in group)
                    self._fetch(None, code, start, stop, until, partial(self._served, start, group))
                else:
                    for want in group:
                        want.give(data, start)
        due, self._to_prefetch = self._to_prefetch, {}
        for each in due.values():
            self._prefetch(*each)

    def _served(self, start: int, group: list[PendingRead], task: asyncio.Task[bytes]) -> None:
        """Hand out a range that was read, or what went wrong."""
        self._tasks.discard(task)
        for want in group:
            if task.cancelled():
                want.future.cancel()
            elif (error := task.exception()) is None:
                want.give(task.result(), start)
            else:
                if want.explained and isinstance(error, Exception):
                    error = self.explain(want.request, error)
                want.fail(error)

    def _fetch(
        self,
        ahead: Gate | None,
        code: int,
        start: int,
        stop: int | None,
        until: float,
        done: Callable[[asyncio.Task[bytes]], None],
    ) -> None:
        task = self._loop.create_task(self._range(ahead, code, start, stop, until))
        self._tasks.add(task)
        task.add_done_callback(done)

    async def _range(self, ahead: Gate | None, code: int, start: int, stop: int | None, until: float) -> bytes:
        """Read one range, all of it, until a time that what it waits for counts into."""
        gate = self._gate(code)

        def failed(error: Exception) -> None:
            if is_overload(error):
                gate.slow_down()

        async with asyncio.timeout_at(until), ahead or contextlib.nullcontext(), gate:
            return await retry_async(
                partial(self._attempt, code, start, stop), self._policy, deadline=until, failed=failed
            )

    async def _attempt(self, code: int, start: int, stop: int | None) -> bytes:
        store = self._stores.get(code)
        if store is None:
            store = self._stores[code] = await self.connect(code)
        data = None if stop is None else store.read_nowait(start, stop)
        if data is None:
            data = await store.read(start, stop)
        if stop is not None and len(data) != stop - start:
            message = "came back with another length: a changed file, or a server that does not serve ranges?"
            raise SourceError(message, expected=stop - start, got=len(data))
        return data

    # Reading ahead

    def observe(self, variable: ArrayState, cell: int, size: int) -> None:
        """Note a chunk that was asked for, and read what is likely to be asked for next."""
        due = self._observed(variable, cell, size)
        if due is not None:
            self._schedule()
            self._to_prefetch[id(due[2])] = due

    def _observed(self, variable: ArrayState, cell: int, size: int) -> tuple[ArrayState, Prefetcher, Stream] | None:
        """Note a chunk that was asked for; give the walk that it belongs to if it is time to read ahead of it."""
        position = variable.position(cell)
        if position is None:
            return None
        prefetcher = self._foresights.get(variable.path)
        if prefetcher is None:
            prefetcher = self._foresights[variable.path] = Prefetcher(variable.grid, start=START, limit=LIMIT)
        stream = prefetcher.note(position, size)
        return None if stream is None or not prefetcher.should_prefetch(stream) else (variable, prefetcher, stream)

    def _prefetch(self, variable: ArrayState, prefetcher: Prefetcher, stream: Stream) -> None:
        positions = prefetcher.plan(stream)
        if positions is None:
            return
        references, rows, looked = variable.rows(positions)
        stream.front -= len(positions) - looked
        for code, start, stop, used in prefetch_ranges(references, rows, max(stream.window // 4, START), self._stores):
            stream.ahead += used
            self._add(PrefetchedRange(code, start, stop, used, prefetcher))

    def _add(self, block: PrefetchedRange) -> None:
        waiters = self._blocks.add(block)
        if waiters is None:
            return
        self._ask(waiters)
        # A filesystem that is gone must not wait for its timers.
        self._loop.call_later(KEPT, _expire, weakref.ref(self), weakref.ref(block))
        store = self._stores.get(block.code)
        data = None if store is None else store.read_nowait(block.start, block.stop)
        if data is not None:
            block.arrive(data)
            return
        done = partial(self._filled, block)
        self._fetch(self._ahead, block.code, block.start, block.stop, deadline(self.timeout), done)

    def _filled(self, block: PrefetchedRange, task: asyncio.Task[bytes]) -> None:
        """Keep a block that was read. Who waits for one that was not asks again, and gets the error."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is None:
            block.arrive(task.result())
        if block.data is None or block.left <= 0 or block not in self._blocks:
            self._drop(block)

    def _drop(self, block: PrefetchedRange) -> None:
        self._ask(self._blocks.drop(block))


def _expire(engine: weakref.ref[Engine], block: weakref.ref[PrefetchedRange]) -> None:
    """Let go of a block that nobody came for, if it is still there."""
    owner, held = engine(), block()
    if owner is not None and held is not None:
        owner._drop(held)


async def _outcome(future: asyncio.Future[bytes]) -> bytes | Exception:
    """Wait for a future; give its result or its error. Most are done by the time that one before them is."""
    if not future.done():
        await asyncio.wait([future])
    error = None if future.cancelled() else future.exception()
    return error if isinstance(error, Exception) else future.result()
