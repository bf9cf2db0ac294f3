from __future__ import annotations

import asyncio
import time

import pytest

from refmaker.sources.attempts import Attempts, attempt

QUICK = Attempts(attempts=4, pause=0.001, longest_pause=0.002, timeout=0.02, slowest=1e3)


class Work:
    """Fails as told, then succeeds."""

    def __init__(self, *failures):
        self.failures, self.calls = list(failures), 0

    async def __call__(self, timeout: asyncio.Timeout) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def run(work, retry_after=lambda error: 0.0 if isinstance(error, ConnectionError | TimeoutError) else None, size=0):
    return asyncio.run(attempt(work, retry_after, size, QUICK))


def test_what_passes():
    work = Work(ConnectionError(), ConnectionError(), ConnectionError())
    assert run(work) == "done"
    assert work.calls == 4


def test_what_lasts():
    work = Work(*[ConnectionError(n) for n in range(9)])
    with pytest.raises(ConnectionError, match="3"):
        run(work)
    assert work.calls == 4
    work = Work(ConnectionError(), KeyError("x"))
    with pytest.raises(KeyError):
        run(work)
    assert work.calls == 2


def test_no_attempt_lasts_for_ever():
    calls = []

    async def hang(timeout: asyncio.Timeout) -> None:
        calls.append(1)
        await asyncio.sleep(100)

    with pytest.raises(TimeoutError):
        run(hang)
    assert len(calls) == 4


def test_many_bytes_may_take_longer():
    async def slow(timeout: asyncio.Timeout) -> str:
        await asyncio.sleep(0.04)
        return "done"

    assert run(slow, size=10_000) == "done"

    async def extended(timeout: asyncio.Timeout) -> str:
        timeout.reschedule(timeout.when() + 10)
        return await slow(timeout)

    assert run(extended) == "done"


def test_the_server_says_when():
    asked = Attempts(attempts=2, pause=0.0, longest_pause=0.03, timeout=1)
    began = time.perf_counter()
    asyncio.run(attempt(Work(ConnectionError()), lambda error: 1e9, 0, asked))
    assert 0.03 <= time.perf_counter() - began < 5
