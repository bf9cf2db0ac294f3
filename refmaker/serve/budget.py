"""How many bytes of answers may be in memory at a time.

Contract: first come, first served; what is larger than all there is gets all of it. Whoever would have to wait behind
too many others is told so at once (`Busy`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Budget", "Busy"]

WAITING = 4096
"""Requests that wait for memory, at most."""


class Busy(Exception):
    """Too many others wait already."""


class Budget:
    """Bytes that may be held. Belongs to one event loop.

    Parameters
    ----------
    limit
        How many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Hold bytes for the time of the context; wait until there are so many."""
        size = min(size, self.limit)
        if self._waiting or self.used + size > self.limit:
            await self._turn(size)
        else:
            self.used += size
        try:
            yield
        finally:
            self.used -= size
            self._next()

    async def _turn(self, size: int) -> None:
        if len(self._waiting) >= WAITING:
            raise Busy
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.used -= size
                self._next()
            raise

    def _next(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self.used + size <= self.limit:
                self._waiting.popleft()
                self.used += size
                turn.set_result(None)
            else:
                return
