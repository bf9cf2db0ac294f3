"""How often, how late, and how many at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import http.client
import time
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from typing import Any

import pytest

from refmaker.errors import SourceError
from refmaker.replay.read_errors import IncompleteRead
from refmaker.retry import (
    Gate,
    RetryPolicy,
    is_overload,
    retry_after,
    retry_async,
    retry_sync,
    retry_timed,
    seconds_asked,
)

QUICK = RetryPolicy(attempts=4, pause=0.001, longest_pause=0.002)


class Answered(Exception):
    """As aiohttp's `ClientResponseError` says what a server answered."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers


class Refused(Exception):
    """As botocore's `ClientError` does."""

    def __init__(self, code: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        }


class Work:
    """Fails as told, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def later(self) -> str:
        return self()


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [
    ConnectionResetError(), TimeoutError(), Answered(429), Answered(500), Answered(503), Answered(504), Answered(408),
    Refused("SlowDown", 503), Refused("InternalError", 500), Refused("RequestTimeout"), Refused("Throttling"),
    caused(OSError(errno.EBUSY, "reduce your request rate"), Refused("SlowDown")),
    OSError(errno.EMFILE, "Too many open files"), caused(ValueError(), OSError(errno.ENFILE, "file table overflow")),
    IncompleteRead("half of it"), http.client.IncompleteRead(b""),
])  # fmt: skip
def test_what_may_pass(error: Exception) -> None:
    assert retry_after(error) == 0.0
    work = Work(error, error)
    assert retry_sync(work, QUICK) == "done"
    assert work.calls == 3
    work = Work(error, error)
    assert asyncio.run(retry_async(work.later, QUICK)) == "done"
    assert work.calls == 3


@pytest.mark.parametrize("error", [
    ValueError(), OSError(errno.ENOENT, "none"), PermissionError(), Answered(403), Answered(404), Answered(400),
    Answered(416), Refused("AccessDenied", 403), Refused("NoSuchKey", 404), SourceError("no"),
    http.client.BadStatusLine("garbage"), http.client.LineTooLong("header line"), KeyError("x"),
])  # fmt: skip
def test_what_lasts(error: Exception) -> None:
    assert retry_after(error) is None
    work = Work(error)
    with pytest.raises(type(error)):
        retry_sync(work, QUICK)
    with pytest.raises(type(error)):
        asyncio.run(retry_async(Work(error).later, QUICK))
    assert work.calls == 1


def test_the_last_failure_is_raised() -> None:
    work = Work(*[ConnectionError(n) for n in range(9)])
    with pytest.raises(ConnectionError, match="3"):
        retry_sync(work, QUICK)
    assert work.calls == 4


@pytest.mark.parametrize(("value", "seconds"), [
    ("7", 7.0), (" 7 ", 7.0), ("", 0.0), ("soon", 0.0), ("-7", 0.0), ("٣", 0.0), ("9" * 400, 999999999.0),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("\0\xff", 0.0),
])  # fmt: skip
def test_retry_after_of_servers(value: str, seconds: float) -> None:
    assert seconds_asked({"Retry-After": value}) == seconds
    assert retry_after(Answered(503, {"Retry-After": value})) == seconds
    assert retry_after(Refused("SlowDown", 503, {"retry-after": value})) == seconds


def test_a_date_to_come_is_waited_for() -> None:
    later = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60), usegmt=True)
    assert 50 < seconds_asked({"Retry-After": later}) <= 60


def test_pauses_are_bounded_whatever_the_server_asks_for() -> None:
    policy = RetryPolicy(attempts=99, pause=0.5, longest_pause=3.0)
    for attempt in range(1, 99):
        assert 0 <= policy.delay(attempt) <= min(0.5 * 2 ** (attempt - 1), 3.0)
        assert 3.0 <= policy.delay(attempt, 1e9) <= 6.0
        assert policy.delay(attempt, 1.0) >= 1.0
    assert len({policy.delay(5) for _ in range(10)}) == 10  # clients do not come back all at once


def test_no_pause_reaches_beyond_the_deadline() -> None:
    """Then what was wrong is raised, which says more than that time ran out."""
    slow = RetryPolicy(attempts=4, pause=0.001, longest_pause=30.0)
    work = Work(Answered(503, {"Retry-After": "20"}))
    began = time.monotonic()
    with pytest.raises(Answered):
        retry_sync(work, slow, deadline=time.monotonic() + 1)

    async def run() -> None:
        await retry_async(work.later, slow, deadline=asyncio.get_running_loop().time() + 1)

    work.failures.append(Answered(503, {"Retry-After": "20"}))
    with pytest.raises(Answered):
        asyncio.run(run())
    assert time.monotonic() - began < 1
    assert work.calls == 2


def test_who_is_told() -> None:
    told: list[Exception] = []
    asyncio.run(retry_async(Work(ConnectionError(1), ConnectionError(2)).later, QUICK, failed=told.append))
    assert [error.args for error in told] == [(1,), (2,)]


@pytest.mark.parametrize(("error", "expected"), [
    (Answered(429), True), (Answered(503), True), (Refused("SlowDown"), True), (OSError(errno.EMFILE, ""), True),
    (Answered(500), False), (ConnectionError(), False), (TimeoutError(), False),
])  # fmt: skip
def test_what_says_that_there_is_too_much(error: Exception, expected: bool) -> None:
    assert is_overload(error) is expected
    assert is_overload(caused(OSError(errno.EIO, "wrapped"), error)) is expected


def test_a_gate_lets_so_many_through() -> None:
    async def run() -> None:
        gate, inside, most = Gate(3), 0, 0

        async def one() -> None:
            nonlocal inside, most
            async with gate:
                inside, most = inside + 1, max(most, inside + 1)
                try:
                    await asyncio.sleep(0.001)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(one()) for _ in range(30)]
        await asyncio.sleep(0.002)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 3
        assert gate.busy == 0
        async with gate, gate, gate:  # no place was lost with those who were cancelled
            assert gate.busy == 3

    asyncio.run(run())


def test_a_gate_slows_down_and_recovers() -> None:
    async def run() -> None:
        gate = Gate(16)

        async def fails() -> None:
            async with gate:
                await asyncio.sleep(0.001)
                gate.slow_down()
                raise ConnectionError

        await asyncio.gather(*(fails() for _ in range(16)), return_exceptions=True)
        assert gate.allowed == 8  # once for all of them
        for _ in range(400):
            async with gate:
                pass
        assert gate.allowed == 16

    asyncio.run(run())


TIMED = RetryPolicy(attempts=4, pause=0.001, longest_pause=0.002, timeout=0.02, slowest=1e3)


def timed(work: Callable[[asyncio.Timeout], Awaitable[Any]], size: int = 0) -> Any:
    return asyncio.run(retry_timed(work, TIMED, size=size))


def test_no_attempt_lasts_for_ever() -> None:
    calls = []

    async def hang(timeout: asyncio.Timeout) -> None:
        calls.append(1)
        await asyncio.sleep(100)

    with pytest.raises(TimeoutError):
        timed(hang)
    assert len(calls) == TIMED.attempts


def test_many_bytes_may_take_longer() -> None:
    async def slow(timeout: asyncio.Timeout) -> str:
        await asyncio.sleep(0.04)
        return "done"

    async def extended(timeout: asyncio.Timeout) -> str:
        timeout.reschedule(timeout.when() + 10)
        return await slow(timeout)

    with pytest.raises(TimeoutError):
        timed(slow)
    assert timed(slow, size=10_000) == "done"
    assert timed(extended) == "done"


def test_timed_attempts_are_those_of_the_policy() -> None:
    work = Work(ConnectionError(), ConnectionError(), ConnectionError())
    assert timed(lambda timeout: work.later()) == "done"
    assert work.calls == 4
    work = Work(ConnectionError(), KeyError("x"))
    with pytest.raises(KeyError):
        timed(lambda timeout: work.later())
    assert work.calls == 2


@pytest.mark.parametrize("later", [False, True])
def test_who_counts_is_told_of_failures_that_are_tried_again(later: bool) -> None:
    told: list[Exception] = []
    work = Work(*[ConnectionError(n) for n in range(9)])

    def run() -> str:
        if later:
            return asyncio.run(retry_async(work.later, QUICK, failed=told.append))
        return retry_sync(work, QUICK, failed=told.append)

    with pytest.raises(ConnectionError, match="3"):
        run()
    assert [error.args[0] for error in told] == [0, 1, 2]
