"""One range of one target: connected, through its gate, tried again where that may help.

Contract: what is given has exactly the length that was asked for; everything else is raised, by the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from refmaker.errors import SourceError
from refmaker.replay.deadline import deadline
from refmaker.replay.stores import Store
from refmaker.retry import Gate, RetryPolicy, is_overload, retry_async

__all__ = ["RangeReader"]

PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before the first and before any new attempt, twice what they are on average."""


class RangeReader:
    """Reads of the targets of one manifest, range by range.

    Attributes
    ----------
    stores
        By target, of those that were connected.
    """

    def __init__(
        self,
        connect: Callable[[int], Awaitable[Store]],
        gate: Callable[[int], Gate],
        timeout: float,
        attempts: int,
    ) -> None:
        self.connect = connect
        self.gate = gate
        self.timeout = timeout
        self.policy = RetryPolicy(attempts, PAUSE, LONGEST_PAUSE)
        self.stores: dict[int, Store] = {}

    async def prepare(self, targets: Iterable[int]) -> None:
        """Make the stores of targets, so that it is known how they are read best. Failures are left to reading."""
        new = [target for target in targets if target not in self.stores]
        if new:
            await asyncio.gather(*map(self._prepare, new))

    async def _prepare(self, target: int) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout_at(deadline(self.timeout)), self.gate(target):
                store = await self.connect(target)
            self.stores.setdefault(target, store)

    async def read(self, ahead: Gate | None, target: int, start: int, stop: int | None, until: float) -> bytes:
        """Read one range, all of it, until a time that what it waits for counts into."""
        gate = self.gate(target)

        def failed(error: Exception) -> None:
            if is_overload(error):
                gate.slow_down()

        async with asyncio.timeout_at(until), ahead or contextlib.nullcontext(), gate:
            return await retry_async(
                partial(self._attempt, target, start, stop), self.policy, deadline=until, failed=failed
            )

    async def _attempt(self, target: int, start: int, stop: int | None) -> bytes:
        store = self.stores.get(target)
        if store is None:
            store = self.stores[target] = await self.connect(target)
        data = None if stop is None else store.read_nowait(start, stop)
        if data is None:
            data = await store.read(start, stop)
        if stop is not None and len(data) != stop - start:
            message = "came back with another length: a changed file, or a server that does not serve ranges?"
            raise SourceError(message, expected=stop - start, got=len(data))
        return data
