from __future__ import annotations

import asyncio

import pytest

from refmaker.serve import budget
from refmaker.serve.budget import Budget, Busy


@pytest.mark.asyncio
async def test_no_more_than_the_limit_and_first_come_first_served() -> None:
    held = Budget(10)
    order: list[int] = []
    most = 0

    async def one(number: int, size: int) -> None:
        nonlocal most
        async with held.held(size):
            order.append(number)
            most = max(most, held.used)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(i, size) for i, size in enumerate([6, 6, 3, 99, 1])))
    assert order == [0, 1, 2, 3, 4]
    assert (most, held.used) == (10, 0)


@pytest.mark.asyncio
async def test_who_gives_up_holds_nothing() -> None:
    held = Budget(10)
    async with held.held(10):
        waiting = [asyncio.ensure_future(_hold(held, 5)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # its turn has just come
    await asyncio.gather(*waiting, return_exceptions=True)
    assert held.used == 0


@pytest.mark.asyncio
async def test_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAITING", 1)
    held = Budget(1)
    async with held.held(1):
        waiting = asyncio.ensure_future(_hold(held, 1))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await _hold(held, 1)
    await waiting


async def _hold(held: Budget, size: int) -> None:
    async with held.held(size):
        await asyncio.sleep(0)
