"""Clients that are slow, or go away, and the memory that answers take."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker.serve import answers
from refmaker.serve.answers import Broken, answer_key
from refmaker.serve.budget import Budget
from refmaker.serve.tree import Tree, TreeFileSystem, TreeKind

KEY = "group/plain/0"
SCOPE: dict[str, Any] = {"method": "GET", "headers": []}


async def _never() -> Any:
    await asyncio.Event().wait()


async def _gone() -> Any:
    return {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PIECE", 100_000)
    monkeypatch.setattr(answers, "_SLICE", 10_000)
    monkeypatch.setattr(answers, "PATIENCE", 0.2)


async def ask(air: Path, receive: Any, send: Any, budget: Budget) -> None:
    tree = Tree(TreeFileSystem(air, asynchronous=True), TreeKind(), 1)
    await answer_key(tree, await tree.entity(KEY), SCOPE, receive, send, budget=budget, max_age=0)


@pytest.mark.asyncio
async def test_a_client_that_takes_nothing_is_dropped(air: Path) -> None:
    budget = Budget(1 << 20)

    async def stuck(message: Any) -> None:
        if message.get("body"):
            await asyncio.sleep(60)

    with pytest.raises(Broken, match="took nothing"):
        await ask(air, _never, stuck, budget)
    assert budget.used == 0


@pytest.mark.asyncio
async def test_a_client_that_went_away_costs_no_more_reads(air: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    with pytest.raises(Broken, match="went away"):
        await ask(air, _gone, send, Budget(1 << 20))
    assert len(sent) < 5


@pytest.mark.asyncio
async def test_memory_is_that_of_the_budget(air: Path) -> None:
    budget = Budget(200_000)
    most = 0
    bodies: list[bytearray] = []

    async def one() -> None:
        body = bytearray()
        bodies.append(body)

        async def send(message: Any) -> None:
            nonlocal most
            most = max(most, budget.used)
            body.extend(message.get("body", b""))
            await asyncio.sleep(0)

        await ask(air, _never, send, budget)

    await asyncio.gather(*(one() for _ in range(8)))
    assert most == 200_000
    assert {bytes(body) for body in bodies} == {np.arange(50_000, dtype=">f8").tobytes()}
