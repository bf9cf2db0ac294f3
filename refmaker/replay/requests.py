"""What is asked of a store: one record for a range that is to be read, one for who waits for it.

Contract: nothing is read here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from refmaker.manifest.references import ByteRange

__all__ = ["ReadRequest", "PendingRead", "outcome_of", "serve"]


class ReadRequest(NamedTuple):
    """Bytes wanted of a target: `size` from `offset`, or all of it where `size` is None. `key` is what they are for."""

    key: str
    target: int
    offset: int
    size: int | None

    @classmethod
    def of(cls, key: str, found: ByteRange, start: int | None = None, end: int | None = None) -> ReadRequest:
        """Return what is to be read for a slice of what a key refers to.

        All of a target of unknown size is read as a whole: nobody knows where a slice of it ends.
        """
        if found.size is None or (start is None and end is None):
            return cls(key, *found)
        first, stop, _ = slice(start, end).indices(found.size)
        return cls(key, found.target, found.offset + first, max(stop - first, 0))


class PendingRead:
    """A request and the future of its bytes, or of what goes wrong: as it was, or `explained` for the request's key.

    `deadline` is by the clock of the event loop.
    """

    __slots__ = ("deadline", "explained", "future", "request", "start", "stop")

    def __init__(
        self, request: ReadRequest, future: asyncio.Future[bytes], explained: bool = True, deadline: float = math.inf
    ) -> None:
        self.request = request
        self.deadline = deadline
        self.explained = explained
        self.start = request.offset
        self.stop = request.offset + (request.size or 0)
        self.future = future

    def give(self, data: bytes, origin: int) -> None:
        """Hand over the bytes, out of those read from `origin` on."""
        if self.future.done():
            return
        whole = self.request.size is None or (origin == self.start and len(data) == self.stop - self.start)
        self.future.set_result(data if whole else data[self.start - origin : self.stop - origin])

    def fail(self, error: BaseException) -> None:
        """Hand over an error."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # who was cancelled meanwhile does not ask for it


def serve(
    group: Iterable[PendingRead],
    origin: int,
    task: asyncio.Task[bytes],
    explain: Callable[[ReadRequest, Exception], Exception],
) -> None:
    """Hand out what was read from `origin` on, or what went wrong."""
    for want in group:
        if task.cancelled():
            want.future.cancel()
        elif (error := task.exception()) is None:
            want.give(task.result(), origin)
        else:
            if want.explained and isinstance(error, Exception):
                error = explain(want.request, error)
            want.fail(error)


async def outcome_of(future: asyncio.Future[bytes]) -> bytes | Exception:
    """Wait for a future; return its result or its error. Most are done by the time that one before them is."""
    if not future.done():
        await asyncio.wait([future])
    error = None if future.cancelled() else future.exception()
    return error if isinstance(error, Exception) else future.result()
