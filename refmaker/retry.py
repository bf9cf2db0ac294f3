"""How often, and after which pauses, what failed is tried again; and how many requests go out while a server is slow.

Contract: `retry_after` alone says which failures may pass. What lasts is raised at once; what may pass is tried again
after a random pause (full jitter) that may be twice as long each time, never before the server asked for
(Retry-After, bounded), never beyond the deadline: then the failure itself is raised, not that time ran out. A `Gate`
lets fewer through after answers that say that there is too much (429, 503, SlowDown, no descriptors left), and slowly
more again.

Sources: RFC 9110, 10.2.3 (Retry-After), 15.5, 15.6; RFC 6585, 4 (429); Amazon S3, error responses.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from refmaker import limits
from refmaker.descriptors import give_back, is_exhausted

__all__ = [
    "Gate",
    "RetryPolicy",
    "is_overload",
    "retry_after",
    "retry_async",
    "retry_sync",
    "retry_timed",
    "seconds_asked",
]

T = TypeVar("T")

STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP: the same request may succeed a little later."""

_OVERLOADS = frozenset({429, 503})
_CODES = frozenset(
    {
        *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "ServerBusy"),
        *("ServiceUnavailable", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded"),
    }
)
"""What object stores call it when there is too much."""

_PASSING_CODES = frozenset({"InternalError", "RequestTimeout", "RequestTimeoutException", "OperationTimedOut"})

_KINDS = frozenset(
    {
        *("ClientConnectionError", "ClientPayloadError", "ServerDisconnectedError"),  # aiohttp
        *("IncompleteRead", "IncompleteReadError", "HTTPClientError", "ReadTimeoutError"),  # http.client, botocore
    }
)
"""By name, so that the packages need not be there: connections that are lost, bodies that break off."""

_DEPTH = 8
"""Causes of an error that are looked at."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient to be.

    Attributes
    ----------
    attempts
        How often something is tried at most.
    pause, longest_pause
        Seconds: the longest pause before the second attempt, and before any, also where the server asks for more.
    timeout
        Seconds that an attempt may take beside the time for its bytes, where attempts are timed.
    slowest
        Bytes a second that are slow but not yet a failure.
    """

    attempts: int = limits.READ_ATTEMPTS
    pause: float = 0.2
    longest_pause: float = limits.LONGEST_PAUSE
    timeout: float = limits.SCAN_TIMEOUT
    slowest: float = limits.SLOWEST

    def delay(self, attempt: int, asked: float = 0.0) -> float:
        """Return the seconds before another attempt, after number `attempt` (from 1); the server asked for some."""
        longest = min(self.pause * 2 ** min(attempt - 1, 30), self.longest_pause)
        return min(max(asked, 0.0), self.longest_pause) + random.uniform(0, longest)  # noqa: S311


async def retry_async(
    work: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    passing: Callable[[Exception], float | None] | None = None,
    *,
    deadline: float | None = None,
    failed: Callable[[Exception], None] | None = None,
) -> T:
    """Await `work` until it succeeds, fails for good, or there is no time for another attempt.

    Parameters
    ----------
    passing
        Says of a failure how many seconds to wait at least, None if trying again is in vain; `retry_after` by default.
    deadline
        By the clock of the running event loop. An attempt that is under way is not ended: the caller does that.
    failed
        Is told of failures after which there is another attempt.
    """
    clock = asyncio.get_running_loop().time
    for attempt in itertools.count(1):
        try:
            return await work()
        except Exception as error:  # every store raises errors of its own
            delay = _delay(policy, attempt, error, passing or retry_after, deadline, clock)
            if delay is not None:
                if failed is not None:
                    failed(error)
                await asyncio.sleep(delay)
                continue
            raise
    raise RuntimeError("attempts do not end")


async def retry_timed(
    work: Callable[[asyncio.Timeout], Awaitable[T]],
    policy: RetryPolicy,
    passing: Callable[[Exception], float | None] | None = None,
    *,
    size: int,
    failed: Callable[[Exception], None] | None = None,
) -> T:
    """Await `work` until it succeeds, every attempt within a time that its size sets; see `retry_async`.

    Parameters
    ----------
    work
        Takes the time that the attempt may last, which it may extend.
    size
        Bytes that the work fetches.
    """

    async def once() -> T:
        async with asyncio.timeout(policy.timeout + size / policy.slowest) as time:
            return await work(time)

    return await retry_async(once, policy, passing, failed=failed)


def retry_sync(
    work: Callable[[], T],
    policy: RetryPolicy,
    passing: Callable[[Exception], float | None] | None = None,
    *,
    deadline: float | None = None,
    failed: Callable[[Exception], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call `work` until it succeeds; see `retry_async`. `deadline` is by `time.monotonic`."""
    for attempt in itertools.count(1):
        try:
            return work()
        except Exception as error:  # every store raises errors of its own
            delay = _delay(policy, attempt, error, passing or retry_after, deadline, time.monotonic)
            if delay is not None:
                if failed is not None:
                    failed(error)
                sleep(delay)
                continue
            raise
    raise RuntimeError("attempts do not end")


def _delay(
    policy: RetryPolicy,
    attempt: int,
    error: Exception,
    passing: Callable[[Exception], float | None],
    deadline: float | None,
    clock: Callable[[], float],
) -> float | None:
    """Return the seconds to wait before the next attempt, None where there is to be none."""
    asked = passing(error) if attempt < policy.attempts else None
    if asked is None:
        return None
    if is_exhausted(error):
        give_back()
    delay = policy.delay(attempt, asked)
    return None if deadline is not None and clock() + delay >= deadline else delay


def retry_after(error: BaseException) -> float | None:
    """Return how many seconds to wait before something that failed is tried again; None if that is in vain.

    0.0 where nobody says how long. An error says itself that it may pass by an attribute `is_transient`.
    """
    for cause in _causes(error):
        if (asked := _retry_after(cause)) is not None:
            return asked
        if getattr(cause, "status", None) is not None:
            return None
    return None


def _retry_after(error: BaseException) -> float | None:
    status, code, headers = _answer(error)
    if status in STATUSES or code in _CODES or code in _PASSING_CODES:
        return seconds_asked(headers)
    if status is not None:
        return None
    if _is_malformed(error):
        return None
    if (
        getattr(error, "is_transient", False)
        or isinstance(error, ConnectionError | TimeoutError)
        or is_exhausted(error)
    ):
        return 0.0
    return None if _KINDS.isdisjoint(kind.__name__ for kind in type(error).__mro__) else 0.0


def _is_malformed(error: BaseException) -> bool:
    """Return whether an answer was none of HTTP: it will not be one the next time."""
    return isinstance(error, http.client.HTTPException) and not isinstance(
        error, http.client.IncompleteRead | http.client.RemoteDisconnected
    )


def is_overload(error: BaseException) -> bool:
    """Return whether a failure says that there are too many requests, or too many open files."""
    for cause in _causes(error):
        status, code, _ = _answer(cause)
        if status in _OVERLOADS or code in _CODES:
            return True
    return is_exhausted(error)


def seconds_asked(headers: Mapping[str, Any] | None) -> float:
    """Return the seconds of Retry-After, which is a number or a date (RFC 9110, 10.2.3); 0.0 where it says nothing."""
    value = str((headers or {}).get("Retry-After") or (headers or {}).get("retry-after") or "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max((parsedate_to_datetime(value) - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError, IndexError):
        return 0.0


def _answer(error: BaseException) -> tuple[int | None, str | None, Mapping[str, Any] | None]:
    """Return the status, the code and the headers of the answer that an error stands for, as far as it has them."""
    status, headers = getattr(error, "status", None), getattr(error, "headers", None)
    response = getattr(error, "response", None)
    code = None
    if isinstance(response, Mapping):  # botocore
        found, about = response.get("Error"), response.get("ResponseMetadata")
        code = str(found.get("Code")) if isinstance(found, Mapping) else None
        if isinstance(about, Mapping):
            status, headers = about.get("HTTPStatusCode", status), about.get("HTTPHeaders", headers)
    elif status is None and response is not None:  # requests
        status, headers = getattr(response, "status_code", None), getattr(response, "headers", headers)
    status = status if isinstance(status, int) else None
    return status, code, headers if isinstance(headers, Mapping) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_DEPTH):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


class Gate:
    """Lets so many through at a time in one event loop: `async with gate`.

    Parameters
    ----------
    most
        How many, where nobody asked to slow down.
    within
        A gate that who came through this one goes through as well.
    """

    def __init__(self, most: int, within: Gate | None = None) -> None:
        self.most = most
        self.within = within
        self.busy = 0
        self._allowed = float(most)
        self._slowed = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def allowed(self) -> int:
        """How many are let through at a time now."""
        return int(self._allowed)

    def slow_down(self, *, everywhere: bool = False) -> None:
        """Let half as many through: once for all failures of a moment; `everywhere`: of the gate around it as well."""
        if everywhere and self.within is not None:
            self.within.slow_down()
        now = time.monotonic()
        if now - self._slowed > _MOMENT:
            self._slowed = now
            self._allowed = max(min(self._allowed, self.busy) / 2, 1.0)

    def speed_up(self) -> None:
        """Let one more through for every so many that succeed as are let through at a time."""
        if self._allowed < self.most:
            self._allowed = min(self._allowed + 1 / self._allowed, float(self.most))

    async def __aenter__(self) -> Gate:
        await self._enter()
        if self.within is not None:
            try:
                await self.within._enter()
            except asyncio.CancelledError:
                self._leave()
                raise
        return self

    async def _enter(self) -> None:
        if self.busy < int(self._allowed) and not self._waiting:
            self.busy += 1
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future  # who wakes it hands over a place
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._leave()
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for gate in (self,) if self.within is None else (self.within, self):
            if error is None:
                gate.speed_up()
            gate._leave()

    def _leave(self) -> None:
        """Return up a place, and hand over to those who may go through now."""
        self.busy -= 1
        while self._waiting and self.busy < int(self._allowed):
            future = self._waiting.popleft()
            if not future.done():
                self.busy += 1
                future.set_result(None)


_MOMENT = 0.25
"""Seconds: what fails within them fails for one reason."""
