"""A file in a store: what the rounds of a scan ask for, served concurrently on the event loop of its filesystem.

Contract: `Store.open` gives the version of a file and the bytes it begins with, `Store.read` gives ranges of it, each
of exactly its length and of that same version of the file, or raises. `AsyncStore` has what all stores on an event loop
share: bounded concurrency, repeated attempts, finite times, errors that name url and range. Its subclasses ask once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from refmaker import limits
from refmaker.descriptors import is_exhausted
from refmaker.errors import RefmakerError, SourceError, cause_of
from refmaker.file_version import FileVersion
from refmaker.retry import Gate, RetryPolicy, is_overload, retry_timed
from refmaker.sources.range_planner import Rates
from refmaker.stores.gates import gate_of, most_in_flight
from refmaker.stores.request import RangeFile

__all__ = [
    "AsyncStore",
    "NO_RANGES",
    "NO_SIZE",
    "SCAN_POLICY",
    "Store",
    "WHOLE_LIMIT",
    "cause_of",
]

T = TypeVar("T")

# A file of a server that ignores ranges is taken whole up to here.
WHOLE_LIMIT = limits.WHOLE_FILE
NO_SIZE = "the server does not tell the file's size; download it and scan the copy"
NO_RANGES = (
    "the server sends whole files only and ignores ranges: no reader can read this array from there. Download the file "
    "and scan the copy, or have it served by a server that knows ranges (RFC 9110, 14.2)"
)
SCAN_POLICY = RetryPolicy(limits.SCAN_ATTEMPTS)


class Store(Protocol):
    """One file of a store."""

    rates: Rates
    concurrency: int

    def open(self, size: int) -> tuple[FileVersion, bytes]:
        """Return version and beginning of the file: mostly `size` bytes, fewer or more as the store will have it."""

    def read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """Return ranges of the file, all fetched together."""

    def check(self) -> None:
        """Raise `TargetChanged` unless the file is still the one that was opened."""


class AsyncStore:
    """A file that is asked for on an event loop."""

    def __init__(self, url: str, file: RangeFile) -> None:
        self.url = url
        self.file = file
        self.concurrency = most_in_flight(file.concurrency)
        self.version = FileVersion()
        self.rates = Rates(file.cost)
        self.policy = SCAN_POLICY
        self.ranged = True
        self._gate: Gate | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that requests are made on."""
        return self.file.loop

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[FileVersion, bytes]:
        """Ask for version and beginning once; `time` may be extended for more bytes. See `Store.open`."""
        raise NotImplementedError

    async def range(self, start: int, stop: int) -> bytes:
        """Ask for a range once; check all of the answer but its length."""
        raise NotImplementedError

    async def verify(self, time: asyncio.Timeout) -> None:
        """Ask once whether the file is still the same. Nothing to do where every answer says so."""

    # The Store.

    def open(self, size: int) -> tuple[FileVersion, bytes]:
        """See `Store.open`."""
        self.version, data = self._run(self._open(size))
        return self.version, data

    def read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """See `Store.read`."""
        return self._run(self._read(starts, stops))

    def check(self) -> None:
        """See `Store.check`."""
        self._run(self._patiently(self.verify, 0))

    async def _open(self, size: int) -> tuple[FileVersion, bytes]:
        try:
            return await self._patiently(partial(self.first, size), size)
        except RefmakerError as error:
            error.source = error.source or self.url
            raise
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"cannot be reached: {cause_of(error)}", source=self.url) from error

    async def _read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """Fetch ranges, some at a time. The first failure ends all."""
        pieces = [b""] * len(starts)
        todo = iter(enumerate(zip(starts, stops, strict=True)))

        async def work() -> None:
            for i, (start, stop) in todo:
                pieces[i] = await self._piece(start, stop)

        workers = [asyncio.ensure_future(work()) for _ in range(min(self.concurrency, len(pieces)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return pieces

    async def _piece(self, start: int, stop: int) -> bytes:
        async def once(time: asyncio.Timeout) -> bytes:
            data = await self.range(start, stop)
            if len(data) != stop - start:
                raise _Short(f"an answer of {len(data)} bytes")
            return data

        where = f"bytes {start} to {stop}"
        try:
            return await self._patiently(once, stop - start)
        except RefmakerError as error:
            error.source = error.source or self.url
            raise
        except _Short as error:
            raise SourceError(f"{where} came back with another length: {error}", source=self.url) from error
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"{where} cannot be read: {cause_of(error)}", source=self.url) from error

    async def _patiently(self, work: Callable[[asyncio.Timeout], Awaitable[T]], size: int) -> T:
        """Await `work` as often as is worth it. All files of a server wait for one gate, outside of any clock."""
        gate = self._gate = self._gate or gate_of(self.url, self.file.concurrency)

        def failed(error: Exception) -> None:
            if is_overload(error):
                gate.slow_down(everywhere=is_exhausted(error))

        async with gate:
            return await retry_timed(work, self.policy, size=size, failed=failed)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the filesystem's loop, and wait."""
        loop = self.loop
        try:
            inside = asyncio.get_running_loop() is loop
        except RuntimeError:
            inside = False
        if inside:
            work.close()
            raise SourceError("cannot be read from within the event loop of its filesystem", source=self.url)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            future.cancel()


class _Short(Exception):
    """An answer of another length, which a new attempt may put right."""

    is_transient = True
