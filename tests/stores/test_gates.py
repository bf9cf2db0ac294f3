"""What goes out at a time: to a server, and to all of them."""

from __future__ import annotations

import asyncio

import pytest

from refmaker.stores import gates
from refmaker.stores.gates import gate_of, most_in_flight


def test_files_of_a_server_share_a_gate() -> None:
    async def found() -> None:
        assert gate_of("s3://b/a.nc", 10) is gate_of("s3://b/c/d.nc", 10)
        assert gate_of("zip://x::s3://b/a.zip", 10) is gate_of("s3://b/a.nc", 10)
        assert gate_of("s3://b/a.nc", 10) is not gate_of("s3://other/a.nc", 10)

    asyncio.run(found())


def test_many_servers_do_not_take_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are called: descriptors are those of the process."""
    monkeypatch.setattr(gates, "_ALL", 3)
    busy = most = 0

    async def ask(number: int) -> None:
        nonlocal busy, most
        async with gate_of(f"https://host{number}/a", 2):
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.001)
            busy -= 1

    async def run() -> None:
        await asyncio.gather(*(ask(number % 10) for number in range(60)))

    asyncio.run(run())
    assert most == 3


def test_few_descriptors_let_few_requests_through(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert most_in_flight(100) * 4 <= 256
    assert most_in_flight(5) == 5


def test_who_is_cancelled_at_the_common_gate_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_ALL", 1)

    async def run() -> None:
        first, second = gate_of("s3://a/x", 5), gate_of("s3://b/x", 5)
        async with first:
            waiting = asyncio.ensure_future(second.__aenter__())
            await asyncio.sleep(0)
            assert second.busy == 1
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert second.busy == 0
        async with asyncio.timeout(1), second:
            pass

    asyncio.run(run())


def test_no_descriptors_slow_all_servers_down() -> None:
    async def run() -> None:
        first, second = gate_of("s3://a/x", 50), gate_of("s3://b/x", 50)
        common = first.within
        assert common is second.within
        assert common is not None
        async with first:
            first.slow_down(everywhere=True)
        assert common.allowed < common.most

    asyncio.run(run())
