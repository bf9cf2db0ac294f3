"""How long, and how often, a request is tried.

Contract: an attempt ends within a time that its size sets; one that fails for a passing reason is made again, after a
random pause (full jitter) that may be twice as long each time, or as long as the server asks for. What lasts is raised.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from refmaker import limits

__all__ = ["RETRY_POLICY", "RetryPolicy", "retry_async"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds and counts.

    Attributes
    ----------
    attempts
        How often a request is made at most.
    pause, longest_pause
        The longest pause before the second attempt, and before any.
    timeout
        What an attempt may take beside the time for its bytes.
    slowest
        Bytes a second that are slow but not yet a failure.
    """

    attempts: int = limits.SCAN_ATTEMPTS
    pause: float = 0.2
    longest_pause: float = limits.LONGEST_PAUSE
    timeout: float = limits.SCAN_TIMEOUT
    slowest: float = limits.SLOWEST


RETRY_POLICY = RetryPolicy()


async def retry_async(
    work: Callable[[asyncio.Timeout], Awaitable[T]],
    retry_after: Callable[[Exception], float | None],
    size: int,
    retry_policy: RetryPolicy,
) -> T:
    """Await `work` until it succeeds.

    Parameters
    ----------
    work
        Takes the time that the attempt may last, which it may extend.
    passing
        Says of a failure how many seconds the server asks to wait (0.0: does not say), None if trying again is in vain.
    size
        Bytes that the work fetches.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            async with asyncio.timeout(retry_policy.timeout + size / retry_policy.slowest) as time:
                return await work(time)
        except Exception as error:
            asked = retry_after(error) if attempt < retry_policy.attempts else None
            if asked is not None:
                longest = min(retry_policy.pause * 2 ** (attempt - 1), retry_policy.longest_pause)
                await asyncio.sleep(min(asked, retry_policy.longest_pause) + random.uniform(0, longest))  # noqa: S311
                continue
            raise
