"""How requests are put together, read ahead, tried again and ended."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import SourceError
from refmaker.replay import engine as module
from refmaker.replay.array_state import ArrayState
from refmaker.replay.coalesce import BLOCK, MAX_COALESCED_REQUEST, MAX_PREFETCHED
from refmaker.replay.engine import Engine
from refmaker.replay.prefetch_budget import PrefetchBudget
from refmaker.replay.read_errors import IncompleteRead, VersionMismatch
from refmaker.replay.requests import ReadRequest
from tests.replay.scenes import references

DATA = np.random.default_rng(0).bytes(1 << 22)


class Store:
    """A target in memory that keeps what it is asked for, and may be told to fail or to wait."""

    gap = 64 * 1024
    block = 1 << 20

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[tuple[int, int | None]] = []
        self.faults: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.current = self.peak = 0

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        return None

    async def read(self, start: int, stop: int | None) -> bytes:
        self.asked.append((start, stop))
        self.current += 1
        self.peak = max(self.peak, self.current)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.faults:
                raise self.faults.pop(0)
            return self.data[start:stop]
        finally:
            self.current -= 1


def made(*stores: Store, timeout: float = 5.0, attempts: int = 3) -> Engine:
    async def connect(code: int) -> Any:
        return stores[code]

    def explain(request: ReadRequest, error: Exception) -> Exception:
        found = SourceError(f"{type(error).__name__}: {error}", path=request.key)
        found.__cause__ = error
        return found

    return Engine(connect, explain, timeout=timeout, attempts=attempts)


def wanted(start: int, size: int | None, code: int = 0) -> ReadRequest:
    return ReadRequest(f"{code}/{start}", code, start, size)


def run(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


async def connected(store: Store, **options: Any) -> Engine:
    """Make an engine that knows its store already."""
    engine = made(store, **options)
    await engine.read(wanted(0, 1))
    store.asked.clear()
    return engine


@pytest.mark.asyncio
async def test_neighbours_are_read_together() -> None:
    store = Store()
    engine = await connected(store)
    starts = [800, 0, 100, 300, 200, 900]
    found = await asyncio.gather(*(engine.read(wanted(start, 100)) for start in starts))
    assert found == [DATA[start : start + 100] for start in starts]
    assert store.asked == [(0, 1000)]


@pytest.mark.asyncio
async def test_single_requests_are_what_they_are() -> None:
    store = Store()
    engine = await connected(store)
    assert await engine.read(wanted(7, 5)) == DATA[7:12]
    assert await engine.read(wanted(0, None)) == DATA
    assert await engine.read(wanted(7, 0)) == b""
    assert store.asked == [(7, 12), (0, None)]


@pytest.mark.parametrize(
    ("size", "gap", "merged"), [(1000, 4096, 1), (1000, 4097, 2), (100_000, 50_000, 1), (100_000, 50_001, 2)]
)
@pytest.mark.asyncio
async def test_gaps_are_read_only_beside_larger_ranges(size: int, gap: int, merged: int) -> None:
    store = Store()
    engine = await connected(store)
    await asyncio.gather(engine.read(wanted(0, size)), engine.read(wanted(size + gap, size)))
    assert len(store.asked) == merged


@pytest.mark.asyncio
async def test_large_requests_and_blocks_go_out_side_by_side() -> None:
    store = Store()
    engine = await connected(store)
    await engine.read_all([wanted(i * (MAX_COALESCED_REQUEST + 1), MAX_COALESCED_REQUEST + 1) for i in range(8)])
    assert (len(store.asked), store.peak) == (8, 8)
    store.asked.clear()
    store.peak = 0
    await engine.read_all([wanted(i * MAX_COALESCED_REQUEST, MAX_COALESCED_REQUEST) for i in range(32)])
    assert all(stop is not None and stop - start <= BLOCK for start, stop in store.asked)
    assert len(store.asked) == store.peak == 32 * MAX_COALESCED_REQUEST // BLOCK


@pytest.mark.asyncio
async def test_no_more_than_so_many_at_a_time() -> None:
    store = Store()
    engine = await connected(store)
    size = 10
    await engine.read_all([wanted(i * 8192, size) for i in range(500)])
    assert len(store.asked) == 500
    assert store.peak == module.PARALLEL


@pytest.mark.asyncio
async def test_targets_are_kept_apart() -> None:
    stores = [Store(), Store(DATA[::-1])]
    engine = made(*stores)
    found = await engine.read_all([wanted(i, 10, code) for i in range(5) for code in (0, 1)])
    assert found == [stores[code].data[i : i + 10] for i in range(5) for code in (0, 1)]
    assert [store.asked for store in stores] == [[(0, 14)]] * 2


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 200_000)), min_size=1, max_size=30))
def test_any_mixture_gives_exactly_what_was_asked_for(ranges: list[tuple[int, int]]) -> None:
    async def read() -> list[bytes | Exception]:
        return await made(Store()).read_all([wanted(start, size) for start, size in ranges])

    assert asyncio.run(read()) == [DATA[start : start + size] for start, size in ranges]


# What goes wrong


@pytest.mark.parametrize("fault", [IncompleteRead("cut"), ConnectionResetError(), TimeoutError()])
@pytest.mark.asyncio
async def test_what_may_go_away_is_tried_again(fault: Exception) -> None:
    store = Store()
    engine = await connected(store)
    store.faults = [fault, fault]
    assert await engine.read(wanted(0, 10)) == DATA[:10]
    assert len(store.asked) == 3
    store.faults = [fault] * 3
    with pytest.raises(SourceError):
        await engine.read(wanted(0, 10))


@pytest.mark.parametrize("fault", [FileNotFoundError(), PermissionError(), SourceError("a page"), ValueError()])
@pytest.mark.asyncio
async def test_what_will_not_is_not(fault: Exception) -> None:
    store = Store()
    engine = await connected(store)
    store.faults = [fault]
    with pytest.raises(SourceError) as error:
        await engine.read(wanted(0, 10))
    assert error.value.__cause__ is fault
    assert len(store.asked) == 1


@pytest.mark.asyncio
async def test_every_reader_of_a_merged_range_gets_an_error_of_its_own() -> None:
    store = Store()
    engine = await connected(store)
    store.faults = [ValueError("bad")]
    found = await engine.read_all([wanted(i * 10, 10) for i in range(3)])
    assert [error.path for error in found if isinstance(error, SourceError)] == ["0/0", "0/10", "0/20"]


@pytest.mark.asyncio
async def test_other_lengths_are_errors() -> None:
    engine = made(Store(b"12345"))
    found = await engine.read_all([wanted(0, 10), wanted(3, 200_000)])
    assert all("another length" in str(error) for error in found)


@pytest.mark.asyncio
async def test_every_read_ends() -> None:
    store = Store()
    engine = await connected(store, timeout=0.05)
    store.gate = asyncio.Event()
    began = time.monotonic()
    with pytest.raises(SourceError, match="TimeoutError"):
        await engine.read(wanted(0, 10))
    assert time.monotonic() - began < 2
    store.gate.set()
    assert await engine.read(wanted(0, 10)) == DATA[:10]


@pytest.mark.asyncio
async def test_who_goes_away_does_not_disturb_others() -> None:
    store = Store()
    engine = await connected(store)
    tasks = [asyncio.ensure_future(engine.read(wanted(i * 10, 10))) for i in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert await tasks[0] == DATA[:10]
    assert await tasks[2] == DATA[20:30]
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


# Reading ahead


def variable(count: int, size: int, *, step: int | None = None, skip: int = 0) -> ArrayState:
    """Make an array of chunks one after the other; without every `skip`th where that is given."""
    step = size if step is None else step
    rows = {i: (0, i * step, size) for i in range(count) if not skip or i % skip}
    return ArrayState("v", (count,), references(rows))


async def read(engine: Engine, array: ArrayState, cell: int) -> bytes:
    row = int(np.searchsorted(array.references.cell, cell))
    held = array.references
    request = ReadRequest(f"v/{cell}", int(held.target[row]), int(held.offset[row]), int(held.size[row]))
    return await engine.read(request, array, cell)


@pytest.mark.parametrize("skip", [0, 7])
@pytest.mark.asyncio
async def test_chunks_in_order_are_read_ahead(skip: int) -> None:
    store, size = Store(), 1000
    engine = await connected(store)
    array = variable(4000, size, skip=skip)
    for cell in array.references.cell.tolist():
        start = int(array.references.offset[np.searchsorted(array.references.cell, cell)])
        assert await read(engine, array, cell) == DATA[start : start + size]
    assert len(store.asked) < 40
    asked = sum((stop or 0) - start for start, stop in store.asked)
    assert asked < 4000 * size * 1.01
    assert max(stop or 0 for _, stop in store.asked) <= 4000 * size
    assert not engine._blocks
    assert engine._blocks.held == 0


@pytest.mark.asyncio
async def test_what_is_wanted_goes_first() -> None:
    store = Store()
    engine = await connected(store)
    array = variable(4000, 1000)
    await asyncio.gather(*(read(engine, array, cell) for cell in range(10)))
    assert store.asked[0] == (0, 10_000)


@pytest.mark.asyncio
async def test_a_range_on_its_way_is_waited_for() -> None:
    store = Store()
    engine = await connected(store)
    array = variable(100, 1000)
    for cell in range(3):
        await read(engine, array, cell)
    store.gate = asyncio.Event()
    tasks = [asyncio.ensure_future(read(engine, array, cell)) for cell in range(3, 50)]
    await asyncio.sleep(0.01)
    store.gate.set()
    assert b"".join(await asyncio.gather(*tasks)) == DATA[3000:50_000]
    assert len(store.asked) <= 5


@pytest.mark.asyncio
async def test_failures_ahead_are_those_of_who_wants_the_data() -> None:
    store = Store()
    engine = await connected(store)
    array = variable(100, 1000)
    for cell in range(2):
        await read(engine, array, cell)
    store.gate = asyncio.Event()
    third = asyncio.ensure_future(read(engine, array, 2))
    await asyncio.sleep(0.01)
    fourth = asyncio.ensure_future(read(engine, array, 3))
    await asyncio.sleep(0.01)
    store.faults = [ValueError(), ValueError(), ValueError()]
    store.gate.set()
    with pytest.raises(SourceError) as error:
        await third
    assert error.value.path == "v/2"
    with pytest.raises(SourceError) as error:
        await fourth
    assert error.value.path == "v/3"
    store.faults.clear()
    assert await read(engine, array, 4) == DATA[4000:5000]


@pytest.mark.asyncio
async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 600_000)
    engine = await connected(Store())
    arrays = [
        ArrayState(str(k), (1000,), references({i: (0, (i + 7 * k) * 1000, 1000) for i in range(1000)}))
        for k in range(9)
    ]
    for cell in range(200):
        for k, array in enumerate(arrays):
            assert await read(engine, array, cell) == DATA[(cell + 7 * k) * 1000 : (cell + 7 * k + 1) * 1000]
            assert engine._blocks.held <= 600_000
    blocks = engine._blocks._blocks.values()
    assert engine._blocks.held == sum(block.stop - block.start for block in blocks)


@pytest.mark.asyncio
async def test_what_nobody_came_for_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 0.01)
    engine = await connected(Store())
    array = variable(1000, 1000)
    for cell in range(5):
        await read(engine, array, cell)
    assert engine._blocks
    async with asyncio.timeout(5):
        while engine._blocks:
            await asyncio.sleep(0.005)
    assert (engine._blocks.held, engine._blocks._starts[0]) == (0, [])
    assert await read(engine, array, 5) == DATA[5000:6000]


@pytest.mark.asyncio
async def test_what_expires_was_read_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 0.01)
    engine = await connected(Store())
    array = variable(1000, 1000)
    for cell in range(5):
        await read(engine, array, cell)
    left = sum(block.left for block in engine._blocks._blocks.values())
    before = engine._prefetchers["v"].wasted
    async with asyncio.timeout(5):
        while engine._blocks:
            await asyncio.sleep(0.005)
    assert left > 0
    assert engine._prefetchers["v"].wasted == before + left


@pytest.mark.asyncio
async def test_engines_of_a_process_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PrefetchBudget(600_000)
    monkeypatch.setattr(module, "BUDGET", budget)
    engines = [await connected(Store()) for _ in range(3)]
    array = variable(4000, 1000)
    for cell in range(300):
        for engine in engines:
            assert await read(engine, array, cell) == DATA[cell * 1000 : cell * 1000 + 1000]
            assert sum(each._blocks.held for each in engines) == budget.held <= 600_000
    assert all(len(each.stores) for each in (engine._reader for engine in engines))
    del engine, engines
    gc.collect()
    await asyncio.sleep(0)
    assert budget.held == 0


BIG = 280_000
ORDERS = {
    "upwards": list(range(60)),
    "downwards": list(range(59, -1, -1)),
    "text": sorted(range(60), key=str, reverse=True),
    "swapped": [i + (1 if i % 2 == 0 else -1) for i in range(59, -1, -1)],
    "every third": list(range(0, 60, 3)),
    "down a column": [row * 6 + column for column in range(5, -1, -1) for row in range(10)],
}
LARGE = np.random.default_rng(1).bytes(60 * BIG)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.asyncio
async def test_large_chunks_in_any_walk_are_read_ahead_and_hardly_one_in_vain(order: str) -> None:
    """What is asked of the store, not how long it takes: each chunk once, several on their way, at most 1 MiB each."""
    store, cells = Store(LARGE), ORDERS[order]
    engine = await connected(store)
    rows = {i: (0, i * BIG, BIG) for i in range(60)}
    array = ArrayState("v", (10, 6) if order == "down a column" else (60,), references(rows))
    for cell in cells:
        assert await read(engine, array, cell) == LARGE[cell * BIG : (cell + 1) * BIG]
    sizes = [(stop or 0) - start for start, stop in store.asked]
    assert max(sizes) <= BLOCK
    assert store.peak > 1
    used = len(cells) * BIG
    window = 8 * BIG
    assert sum(sizes) <= used * 1.05 + window


@pytest.mark.asyncio
async def test_large_chunks_at_random_are_read_one_by_one() -> None:
    store = Store(LARGE)
    engine = await connected(store)
    array = variable(60, BIG)
    for cell in np.random.default_rng(3).permutation(60).tolist():
        assert await read(engine, array, cell) == LARGE[cell * BIG : (cell + 1) * BIG]
    assert sum((stop or 0) - start for start, stop in store.asked) <= len(LARGE) * 1.05


class Faulty(Store):
    """A store in which ranges beyond a place fail, until it is mended."""

    def __init__(self, data: bytes, place: int, fault: Exception) -> None:
        super().__init__(data)
        self.place, self.fault = place, fault
        self.mended = False

    async def read(self, start: int, stop: int | None) -> bytes:
        found = await super().read(start, stop)
        if not self.mended and (stop is None or stop > self.place):
            raise self.fault
        return found


@pytest.mark.parametrize(
    "fault", [VersionMismatch(["ETag a then, b now"]), IncompleteRead("cut"), SourceError("a page"), ValueError("bad")]
)
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.asyncio
async def test_faults_ahead_are_errors_of_the_chunks_they_hit_and_of_no_other(fault: Exception, down: bool) -> None:
    data = LARGE[::-1] if down else LARGE
    store = Faulty(data, 30 * BIG, fault)
    engine = await connected(store, attempts=1)
    array = variable(60, BIG)
    cells = range(29, -1, -1) if down else range(30)
    for cell in cells:
        assert await read(engine, array, cell) == data[cell * BIG : (cell + 1) * BIG]
    for cell in (30, 31, 45):
        with pytest.raises(SourceError, match=type(fault).__name__) as error:
            await read(engine, array, cell)
        assert error.value.path == f"v/{cell}"
    store.mended = True
    for cell in (30, 31, 45):
        assert await read(engine, array, cell) == data[cell * BIG : (cell + 1) * BIG]


@pytest.mark.asyncio
async def test_far_and_empty_references_are_not_foreseen() -> None:
    store = Store()
    engine = await connected(store)
    rows = {i: (0, i * 10, 10) for i in range(4)} | {
        4: (0, 2**63 + 5, 10),
        5: (0, 50, 0),
        6: (0, 60, MAX_PREFETCHED + 1),
    }
    array = ArrayState("v", (7,), references(rows))
    for cell in range(4):
        assert await read(engine, array, cell) == DATA[cell * 10 : cell * 10 + 10]
    await asyncio.sleep(0.01)
    assert max(stop or 0 for _, stop in store.asked) <= 40


@settings(max_examples=40)
@given(data=st.data())
def test_any_walk_gives_the_right_bytes(data: st.DataObject) -> None:
    """Grids of two dimensions, chunks anywhere in the target, boxes read concurrently."""
    grid = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    count = grid[0] * grid[1]
    offsets = rng.permutation(count) * 3000 if data.draw(st.booleans()) else np.arange(count) * 3000
    sizes = rng.integers(1, 3000, count)
    rows = {i: (0, int(offsets[i]), int(sizes[i])) for i in range(count) if rng.random() < 0.95}
    array = ArrayState("v", grid, references(rows))

    async def walk() -> None:
        engine, gate = made(Store()), asyncio.Semaphore(10)

        async def one(cell: int) -> None:
            async with gate:
                start, size = rows[cell][1:]
                assert await read(engine, array, cell) == DATA[start : start + size]

        for _ in range(3):
            first = [data.draw(st.integers(0, extent - 1)) for extent in grid]
            box = [(i, j) for i in range(first[0], grid[0]) for j in range(first[1], grid[1])]
            await asyncio.gather(*(one(i * grid[1] + j) for i, j in box if i * grid[1] + j in rows))

    asyncio.run(walk())


@settings(max_examples=30)
@given(data=st.data())
def test_many_at_a_time_while_others_walk(data: st.DataObject) -> None:
    """Ranges taken in bulk, out of what was read ahead for others and beside it."""
    count = 400
    array = variable(count, 1000)

    async def mixed() -> None:
        engine = made(Store())
        for cell in range(data.draw(st.integers(0, 30))):
            assert await read(engine, array, cell) == DATA[cell * 1000 : cell * 1000 + 1000]
        for _ in range(3):
            ranges = data.draw(st.lists(st.tuples(st.integers(0, 390_000), st.integers(0, 9000)), max_size=20))
            rows = [(0, start, size, place) for place, (start, size) in enumerate(ranges)]
            found = await engine.read_rows(rows, [""] * len(rows))
            assert found == [DATA[start : start + size] for start, size in ranges]
            assert engine._blocks.held <= module.MEMORY

    asyncio.run(mixed())


@pytest.mark.asyncio
async def test_errors_of_many_at_a_time_name_each_its_key() -> None:
    store = Store()
    engine = await connected(store)
    store.faults = [ValueError("bad")]
    found = await engine.read_rows([(0, 10 * i, 10, i) for i in range(3)], ["a", "b", "c"])
    assert [error.path for error in found if isinstance(error, SourceError)] == ["a", "b", "c"]


class Ready(Store):
    """A store that gives what it has at once, if it is `there`."""

    there = True

    def read_nowait(self, start: int, stop: int) -> bytes | None:
        return self.data[start:stop] if self.there else None


@pytest.mark.asyncio
async def test_what_is_there_is_given_at_once() -> None:
    store = Ready()
    engine = made(store)
    array = variable(1000, 1000)
    assert engine.read_nowait(0, 0, 10, array, 0) is None  # nobody knows that target yet
    await engine.prepare([0])
    for cell in range(200):
        start = cell * 1000
        assert engine.read_nowait(0, start, start + 1000, array, cell) == DATA[start : start + 1000]
    store.there = False
    ahead = engine._blocks.find(0, 200_000, 201_000)
    assert ahead is not None
    assert engine.read_nowait(0, 200_000, 201_000, array, 200) == DATA[200_000:201_000]
    assert engine.read_nowait(0, 999_000, 1_000_000, array, 999) is None
    assert store.asked == []
    assert await read(engine, array, 999) == DATA[999_000:1_000_000]
