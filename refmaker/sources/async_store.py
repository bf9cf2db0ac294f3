"""A file in a store: what the rounds of a scan ask for, served concurrently on the event loop of its filesystem.

Contract: `Store.open` gives the identity of a file and the bytes it begins with, `Store.read` gives ranges of it, each
of exactly its length and of that same version of the file, or raises. `AsyncStore` has what all stores on an event loop
share: bounded concurrency, repeated attempts, finite times, errors that name url and range. Its subclasses ask once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from refmaker import limits
from refmaker.errors import RefmakerError, SourceError
from refmaker.sources import retry
from refmaker.sources.identity import Identity
from refmaker.sources.range_planner import Rates

__all__ = ["AsyncStore", "NO_SIZE", "Store", "WHOLE_LIMIT", "bounded_body", "cause_of", "content_range"]

T = TypeVar("T")

_PIECE = 1 << 20
# A file of a server that ignores ranges is taken whole up to here.
WHOLE_LIMIT = limits.WHOLE_FILE
NO_SIZE = "the server does not tell the file's size; download it and scan the copy"
# As many connections as aiohttp keeps; s3fs and others are asked to.
CONCURRENCY = 100


class Store(Protocol):
    """One file of a store."""

    rates: Rates
    concurrency: int

    def open(self, size: int) -> tuple[Identity, bytes]:
        """Return identity and beginning of the file: mostly `size` bytes, fewer or more as the store will have it."""

    def read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """Return ranges of the file, all fetched together."""

    def check(self) -> None:
        """Raise `TargetChanged` unless the file is still the one that was opened."""


class AsyncStore:
    """A file of an asynchronous filesystem of fsspec.

    Parameters
    ----------
    filesystem, path
        As `fsspec.core.url_to_fs` gives them.
    """

    concurrency = CONCURRENCY
    request = 3e-4

    def __init__(self, url: str, filesystem: Any, path: str) -> None:
        self.url = url
        self.filesystem = filesystem
        self.path = path
        self.identity = Identity(url, 0, None, None)
        self.rates = Rates(self.request)
        self.retry_policy = retry.RETRY_POLICY

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that requests are made on."""
        loop: asyncio.AbstractEventLoop = self.filesystem.loop
        return loop

    async def first(self, size: int, time: asyncio.Timeout) -> tuple[Identity, bytes]:
        """Ask for identity and beginning once; `time` may be extended for more bytes. See `Store.open`."""
        raise NotImplementedError

    async def range(self, start: int, stop: int) -> bytes:
        """Ask for a range once; check all of the answer but its length."""
        raise NotImplementedError

    async def verify(self, time: asyncio.Timeout) -> None:
        """Ask once whether the file is still the same. Nothing to do where every answer says so."""

    def retry_after(self, error: Exception) -> float | None:
        """Return whether a failure may pass. See `retry_async`."""
        kinds: tuple[type[BaseException], ...] = (TimeoutError, ConnectionError, asyncio.IncompleteReadError, _Short)
        aiohttp = sys.modules.get("aiohttp")  # whose errors there can only be when it is loaded
        if aiohttp is not None:
            kinds += (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
        return 0.0 if isinstance(error, kinds) else None

    # The Store.

    def open(self, size: int) -> tuple[Identity, bytes]:
        """See `Store.open`."""
        self.identity, data = self._run(self._open(size))
        return self.identity, data

    def read(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """See `Store.read`."""
        return self._run(self._read(starts, stops))

    def check(self) -> None:
        """See `Store.check`."""
        self._run(retry.retry_async(self.verify, self.retry_after, 0, self.retry_policy))

    async def _open(self, size: int) -> tuple[Identity, bytes]:
        try:
            return await retry.retry_async(partial(self.first, size), self.retry_after, size, self.retry_policy)
        except RefmakerError:
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
            return await retry.retry_async(once, self.retry_after, stop - start, self.retry_policy)
        except RefmakerError as error:
            error.source = error.source or self.url
            raise
        except _Short as error:
            raise SourceError(f"{where} came back with another length: {error}", source=self.url) from error
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"{where} cannot be read: {cause_of(error)}", source=self.url) from error

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


def cause_of(error: BaseException) -> str:
    """Describe a failure on one line."""
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


async def bounded_body(read: Callable[[int], Awaitable[bytes]], most: int) -> bytes:
    """Read the body of an answer; of one that is longer than `most` bytes, one byte more. It may have no end."""
    parts: list[bytes] = []
    left = most + 1
    while left > 0:
        part = await read(min(left, _PIECE))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def content_range(header: str | None) -> tuple[int, int, int | None] | None:
    """Read `Content-Range: bytes first-last/size` (RFC 9110, 14.4) as start, stop, size; None if it is not that."""
    unit, _, rest = (header or "").strip().partition(" ")
    span, _, size = rest.partition("/")
    first, _, last = span.partition("-")
    if unit.lower() != "bytes" or not (first.isdecimal() and last.isdecimal() and (size.isdecimal() or size == "*")):
        return None
    return int(first), int(last) + 1, None if size == "*" else int(size)
