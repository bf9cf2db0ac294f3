"""How long, and how often, a request is tried.

Contract: an attempt ends within a time that its size sets; one that fails for a passing reason is made again, after a
random pause (full jitter) that may be twice as long each time, or as long as the server asks for. What lasts is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from refmaker import limits, retry

__all__ = ["ATTEMPTS", "Attempts", "attempt"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempts:
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

    @property
    def policy(self) -> retry.RetryPolicy:
        """What of it is not about one attempt."""
        return retry.RetryPolicy(self.attempts, self.pause, self.longest_pause)


ATTEMPTS = Attempts()


async def attempt(
    work: Callable[[asyncio.Timeout], Awaitable[T]],
    retry_after: Callable[[Exception], float | None],
    size: int,
    attempts: Attempts,
    failed: Callable[[Exception], None] | None = None,
) -> T:
    """Await `work` until it succeeds.

    Parameters
    ----------
    work
        Takes the time that the attempt may last, which it may extend.
    retry_after
        Says of a failure how many seconds the server asks to wait (0.0: does not say), None if trying again is in vain.
    size
        Bytes that the work fetches.
    failed
        Is told of failures after which there is another attempt.
    """

    async def once() -> T:
        async with asyncio.timeout(attempts.timeout + size / attempts.slowest) as time:
            return await work(time)

    return await retry.retry_async(once, attempts.policy, retry_after, failed=failed)
