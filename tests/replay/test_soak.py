"""Thousands of chunks from a server that fails at random: nothing is lost, and nothing is wrong.

`REFMAKER_SOAK=100000 python -m pytest tests/replay/test_soak.py` reads that many.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refmaker.errors import SourceError
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay.filesystem import FileSystem
from tests.replay.scenes import array, manifest, references
from tests.servers import RangeServer

COUNT = int(os.environ.get("REFMAKER_SOAK", "3000"))
SIZE = 400
PASSING = ("429", "500", "503", "empty", "reset", "short", "short-undeclared", "truncated")
LASTING = ("403", "404", "html", "html-of-that-length", "ignore-range", "other-range", "compressed")


def chunks(server: RangeServer) -> tuple[bytes, Manifest]:
    """Serve a file of chunks of which every ninth is absent, and give its manifest."""
    data = np.random.default_rng(0).bytes(COUNT * SIZE)
    url = server.add("a", data)
    rows = references({i: (0, i * SIZE, SIZE) for i in range(COUNT) if i % 9})
    node = array((COUNT * SIZE // 4,), (SIZE // 4,), rows)
    return data, manifest({"v": node}, [Target(url, len(data), server.files["a"].etag)])


def failing(rate: float, faults: tuple[str, ...], seen: Counter[str]) -> Callable[[], str | None]:
    draw = random.Random(0)

    def chaos() -> str | None:
        fault = draw.choice(faults) if draw.random() < rate else None
        seen[str(fault)] += 1
        return fault

    return chaos


async def read(fs: FileSystem, order: list[int], data: bytes) -> Counter[str]:
    """Read chunks as zarr does, ten at a time; count what came."""
    gate, came = asyncio.Semaphore(10), Counter[str]()

    async def one(cell: int) -> None:
        async with gate:
            key = f"v/{cell}"
            (got,) = await asyncio.gather(fs._cat_file(key), return_exceptions=True)
        if isinstance(got, FileNotFoundError):
            assert cell % 9 == 0
            came["absent"] += 1
        elif isinstance(got, SourceError):
            assert got.path == key
            came["failed"] += 1
        else:
            assert got == data[cell * SIZE : (cell + 1) * SIZE]
            came["right"] += 1

    await asyncio.gather(*map(one, order))
    return came


@pytest.mark.parametrize("way", ["in order", "at random"])
def test_faults_that_pass(range_server: RangeServer, way: str) -> None:
    data, held = chunks(range_server)
    order = list(range(COUNT))
    if way == "at random":
        random.Random(1).shuffle(order)
    seen: Counter[str] = Counter()
    range_server.chaos = failing(0.1, PASSING, seen)
    came = asyncio.run(read(FileSystem(held, asynchronous=True, attempts=12), order, data))
    assert came == {"right": COUNT - len(range(0, COUNT, 9)), "absent": len(range(0, COUNT, 9))}
    assert sum(seen.values()) < COUNT / 10 if way == "in order" else set(seen) == {*PASSING, "None"}


def test_faults_that_last(range_server: RangeServer) -> None:
    """Some reads fail, none is wrong, and none looks absent."""
    data, held = chunks(range_server)
    order = list(range(COUNT))
    random.Random(2).shuffle(order)
    seen: Counter[str] = Counter()
    range_server.chaos = failing(0.1, LASTING, seen)
    came = asyncio.run(read(FileSystem(held, asynchronous=True), order, data))
    assert came["absent"] == len(range(0, COUNT, 9))
    assert 0 < came["failed"] < COUNT / 2
    assert came["failed"] + came["right"] + came["absent"] == COUNT


def test_the_decoded_view(range_server: RangeServer) -> None:
    data, held = chunks(range_server)
    range_server.chaos = failing(0.1, PASSING, Counter())
    fs: Any = FileSystem(held, view="decoded", chunk_target=5 * SIZE, attempts=12)
    whole = np.frombuffer(b"".join(fs.cat([f"v/{i}" for i in range(-(-COUNT // 5))]).values()), "<i4")
    expected = np.frombuffer(data, "<i4").reshape(COUNT, -1).copy()
    expected[::9] = -9
    np.testing.assert_array_equal(whole[: expected.size], expected.ravel())
