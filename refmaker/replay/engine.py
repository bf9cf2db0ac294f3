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
import os
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeAlias

from refmaker import limits
from refmaker.replay.array_state import ArrayState
from refmaker.replay.coalesce import (
    BLOCK,
    MAX_PREFETCHED,
    MIN_GAP,
    coalesce_requests,
    coalesce_sorted,
    prefetch_ranges,
)
from refmaker.replay.deadline import deadline
from refmaker.replay.prefetch import Prefetcher, Stream
from refmaker.replay.prefetch_budget import PrefetchBudget, PrefetchShare
from refmaker.replay.prefetch_cache import PrefetchCache, PrefetchedRange
from refmaker.replay.range_reader import RangeReader
from refmaker.replay.requests import PendingRead, ReadRequest, outcome_of, serve
from refmaker.replay.stores import Store
from refmaker.replay.strided_walk import StridedWalk
from refmaker.retry import Gate

__all__ = ["Engine", "ArrayState"]

Walk: TypeAlias = Stream | StridedWalk

START, LIMIT = 1 << 18, 1 << 25
"""Bytes that are read ahead of one walk through an array, at first and at most."""

MEMORY = limits.AHEAD_KEPT
"""Bytes that are kept of what was read ahead, by all engines of the process together."""

BUDGET = PrefetchBudget(MEMORY)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BUDGET.reset)

KEPT = 60.0
"""Seconds for which it is kept."""

PARALLEL, PARALLEL_AHEAD = 128, 32
"""Requests under way at a time, for what is wanted now and for what is read ahead."""


class Engine:
    """Reads of the targets of one manifest, in one event loop.

    Parameters
    ----------
    connect
        Gives the store of a target by its index.
    explain
        Makes the error that a reader sees, from a request and what went wrong.
    timeout, attempts
        Seconds in which a read must end; how often it is tried.
    gate
        Gives what requests for a target go through, by its index: one for all, unless it is said.
    gap
        Bytes that are read between two ranges of a target that nothing was read of yet, at most.
    """

    def __init__(
        self,
        connect: Callable[[int], Awaitable[Store]],
        explain: Callable[[ReadRequest, Exception], Exception],
        *,
        timeout: float,
        attempts: int,
        gate: Callable[[int], Gate] | None = None,
        gap: int = MIN_GAP,
    ) -> None:
        self.explain = explain
        self.gap = gap
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        only = Gate(PARALLEL)
        self._reader = RangeReader(connect, (lambda _: only) if gate is None else gate, timeout, attempts)
        self._stores = self._reader.stores
        self._pending: dict[int, list[PendingRead]] = {}
        self._to_prefetch: dict[int, tuple[ArrayState, Prefetcher, Walk]] = {}
        self._prefetchers: dict[str, Prefetcher] = {}
        share = BUDGET.share(partial(_shed, self._loop, weakref.ref(self)))
        self._blocks = PrefetchCache(MEMORY, share)
        # What an engine holds goes with it, or with its event loop.
        weakref.finalize(self, _released, share)
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._ahead = Gate(PARALLEL_AHEAD)

    # Asking

    def read_nowait(self, target: int, start: int, stop: int, state: ArrayState, cell: int) -> bytes | None:
        """Return what is wanted of a chunk if that takes no waiting; None where it would, or where it fails."""
        block = self._blocks.find(target, start, stop) if self._blocks else None
        if block is None:
            store = self._stores.get(target)
            data = None if store is None else store.read_nowait(start, stop)
        else:
            data = None if block.data is None else self._cut(block, start, stop)
        if data is not None and (due := self._observed(state, cell, stop - start)) is not None:
            self._prefetch(*due)
        return data

    async def read(self, request: ReadRequest, state: ArrayState | None = None, cell: int = 0) -> bytes:
        """Return what is wanted; raises what `explain` makes of a failure.

        Parameters
        ----------
        state, cell
            What chunk it is, where others are likely to follow.
        """
        got = self.begin(request)
        if state is not None and request.size is not None and request.size <= MAX_PREFETCHED:
            self.observe(state, cell, request.size)
        return got if isinstance(got, bytes) else await got

    async def read_all(self, requests: Sequence[ReadRequest]) -> list[bytes | Exception]:
        """Return all that is wanted, for each its bytes or its error; see `read`."""
        rows = [(r.target, r.offset, r.size, slot) for slot, r in enumerate(requests) if r.size is not None]
        out = await self.read_rows(rows, [request.key for request in requests])
        wholes = [(slot, self.begin(request)) for slot, request in enumerate(requests) if request.size is None]
        for slot, got in wholes:
            out[slot] = got if isinstance(got, bytes) else await outcome_of(got)
        return out

    async def read_rows(
        self, rows: Iterable[tuple[int, int, int, int]], keys: Sequence[str]
    ) -> list[bytes | Exception]:
        """Return ranges, for each its bytes or its error, at its slot in a list as long as `keys`.

        Parameters
        ----------
        rows
            Target, offset, size and slot of each.
        keys
            What they are for, by slot.
        """
        rows = sorted(rows)
        await self.prepare({row[0] for row in rows})
        out: list[bytes | Exception] = [b""] * len(keys)
        begun: list[tuple[list[tuple[int, int, int, int]], int, asyncio.Future[bytes]]] = []
        for target, mine in itertools.groupby(rows, key=itemgetter(0)):
            held = list(mine)
            parts = self.begin_all("", target, [row[1] for row in held], [row[2] for row in held], explained=False)
            for part, origin, data in parts:
                if isinstance(data, bytes):
                    for _, start, size, slot in held[part]:
                        out[slot] = data[start - origin : start - origin + size]
                else:
                    begun.append((held[part], origin, data))
        for held, origin, data in begun:
            outcome = await outcome_of(data)
            for target, start, size, slot in held:
                if isinstance(outcome, bytes):
                    out[slot] = outcome[start - origin : start - origin + size]
                else:
                    out[slot] = self.explain(ReadRequest(keys[slot], target, start, size), outcome)
        return out

    async def prepare(self, targets: Iterable[int]) -> None:
        """See `RangeReader.prepare`."""
        await self._reader.prepare(targets)

    def begin_all(
        self, key: str, target: int, starts: Sequence[int], sizes: Sequence[int], *, explained: bool = True
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
        slots
            Some of the ranges, one after the other.
        start
            Of the bytes that hold them all.
        data
            Those bytes, or the future of them.
        """
        store = self._stores.get(target)
        farthest, longest = (self.gap, BLOCK) if store is None else (store.gap, store.block)
        find = partial(self._blocks.find, target) if self._blocks else None
        for slots, start, stop, block, useful in coalesce_sorted(starts, sizes, farthest, longest, find):
            request = ReadRequest(key, target, start, stop - start)
            yield slots, start, self._together(request, block, useful, explained)

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
        self._blocks.touch(block)
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
        else:
            self._blocks.touch(block)
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
        for target, wants in pending.items():
            store = self._stores.get(target)
            for start, stop, group in coalesce_requests(wants, self.gap if store is None else store.gap):
                data = None if store is None or stop is None else store.read_nowait(start, stop)
                if data is None:
                    until = max(want.deadline for want in group)
                    self._fetch(None, target, start, stop, until, partial(self._served, start, group))
                else:
                    for want in group:
                        want.give(data, start)
        due, self._to_prefetch = self._to_prefetch, {}
        for each in due.values():
            self._prefetch(*each)

    def _served(self, start: int, group: list[PendingRead], task: asyncio.Task[bytes]) -> None:
        """Hand out a range that was read, or what went wrong."""
        self._tasks.discard(task)
        serve(group, start, task, self.explain)

    def _fetch(
        self,
        ahead: Gate | None,
        target: int,
        start: int,
        stop: int | None,
        until: float,
        done: Callable[[asyncio.Task[bytes]], None],
    ) -> None:
        task = self._loop.create_task(self._reader.read(ahead, target, start, stop, until))
        self._tasks.add(task)
        task.add_done_callback(done)

    # Reading ahead

    def observe(self, state: ArrayState, cell: int, size: int) -> None:
        """Note a chunk that was asked for, and read what is likely to be asked for next."""
        due = self._observed(state, cell, size)
        if due is not None:
            self._schedule()
            self._to_prefetch[id(due[2])] = due

    def _observed(self, state: ArrayState, cell: int, size: int) -> tuple[ArrayState, Prefetcher, Walk] | None:
        """Note a chunk that was asked for; give the walk that it belongs to if it is time to read ahead of it."""
        position = state.position(cell)
        if position is None:
            return None
        prefetcher = self._prefetchers.get(state.path)
        if prefetcher is None:
            prefetcher = self._prefetchers[state.path] = Prefetcher(state.grid, start=START, limit=LIMIT)
        stream = prefetcher.note(position, size)
        return None if stream is None or not prefetcher.should_prefetch(stream) else (state, prefetcher, stream)

    def _prefetch(self, state: ArrayState, prefetcher: Prefetcher, stream: Walk) -> None:
        if not prefetcher.should_prefetch(stream):
            return
        room = self._blocks.room(max(2 * stream.window, START))
        positions = prefetcher.plan(stream, room)
        if positions is None:
            return
        references, rows, looked = state.rows(positions)
        stream.give_back(positions[looked:])
        for target, start, stop, used in prefetch_ranges(
            references, rows, max(stream.window // 4, START), self._stores, self.gap
        ):
            if self._add(PrefetchedRange(target, start, stop, used, prefetcher)):
                stream.ahead += used

    def _add(self, block: PrefetchedRange) -> bool:
        """Begin to read a block, if there is room for it."""
        if not self._blocks.add(block):
            return False
        # A filesystem that is gone must not wait for its timers.
        self._loop.call_later(KEPT, _expire, weakref.ref(self), weakref.ref(block))
        store = self._stores.get(block.target)
        data = None if store is None else store.read_nowait(block.start, block.stop)
        if data is not None:
            block.arrive(data)
            return True
        done = partial(self._filled, block)
        self._fetch(self._ahead, block.target, block.start, block.stop, deadline(self.timeout), done)
        return True

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
    """Let go of a block that nobody came for, if it is still there: what is left of it was read in vain."""
    owner, held = engine(), block()
    if owner is not None and held is not None and held in owner._blocks:
        held.prefetcher.wasted += max(held.left, 0)
        owner._drop(held)


def _shed(loop: asyncio.AbstractEventLoop, engine: weakref.ref[Engine], size: int) -> None:
    """Have an engine let go of what nobody came for, in its own thread; all of it where its event loop is closed."""
    owner = engine()
    if owner is None:
        return
    if loop.is_closed():
        _released(owner._blocks.share)
        return
    with contextlib.suppress(RuntimeError):  # closed just now
        loop.call_soon_threadsafe(_shed_here, engine, size)


def _shed_here(engine: weakref.ref[Engine], size: int) -> None:
    owner = engine()
    if owner is not None:
        owner._blocks.shed(size)


def _released(share: PrefetchShare) -> None:
    share.release()
