"""The time in which all that is asked for at once has to be there.

Contract: the deadline is that of the outermost block (`within`), by the clock of the running event loop, and goes with
the tasks that are begun in it. So gates, waves and attempts share one time instead of having one each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["deadline", "within"]

_deadline: ContextVar[float | None] = ContextVar("refmaker_deadline", default=None)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have all that is read in this block end within a time, whatever it waits for."""
    if _deadline.get() is not None:
        yield
        return
    token = _deadline.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def deadline(seconds: float) -> float:
    """Return when what is asked for now has to be there: in so many seconds, where it is in no block."""
    found = _deadline.get()
    return asyncio.get_running_loop().time() + seconds if found is None else found
