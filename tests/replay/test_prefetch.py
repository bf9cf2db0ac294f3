"""Which chunks are foreseen, and that it stays within bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.replay import prefetch
from refmaker.replay.prefetch import Prefetcher

SIZE = 100


def walk(prefetcher: Prefetcher, cells: list[int], size: int = SIZE) -> list[list[int]]:
    """Ask for cells one after the other; return what was foreseen at each, read as it would be."""
    found = []
    for cell in cells:
        stream = prefetcher.note(cell, size)
        planned = None if stream is None else prefetcher.plan(stream)
        if stream is not None and planned is not None:
            stream.ahead += len(planned) * size
        found.append([] if planned is None else planned.tolist())
    return found


def box(grid: tuple[int, ...], *ranges: range) -> list[int]:
    """Return the cells of a box in C order."""
    return [int(np.ravel_multi_index(index, grid)) for index in itertools.product(*ranges)]


def test_nothing_before_two_hits() -> None:
    plans = walk(Prefetcher((100,), start=3 * SIZE, limit=10 * SIZE), [5, 6, 7])
    assert plans[:2] == [[], []]
    assert plans[2][0] == 8


def test_twice_as_much_each_time_up_to_the_limit() -> None:
    plans = [len(plan) for plan in walk(Prefetcher((1000,), start=2 * SIZE, limit=40 * SIZE), list(range(300))) if plan]
    assert plans[0] <= 4
    assert max(plans) <= 41
    assert plans[:4] == sorted(plans[:4])
    assert max(plans) >= 20


def test_each_once_and_in_order() -> None:
    plans = walk(Prefetcher((1000,), start=2 * SIZE, limit=40 * SIZE), list(range(1000)))
    assert list(itertools.chain(*plans)) == list(range(3, 1000))


def test_random_access_foresees_nothing() -> None:
    cells = np.random.default_rng(0).permutation(5000)[:300].tolist()
    assert not any(walk(Prefetcher((5000,), start=1000, limit=10**6), cells))


@pytest.mark.parametrize(
    ("grid", "ranges"),
    [
        ((50, 4, 5), (range(50), range(4), range(5))),
        ((50, 4, 5), (range(10, 50), range(1, 3), range(2, 4))),
        ((50, 4, 5), (range(50), range(2, 3), range(3, 4))),  # a series at a point
        ((50, 40), (range(50), range(10, 20))),
        ((50, 40), (range(3, 4), range(5, 40))),
    ],
)
def test_boxes_are_learned(grid: tuple[int, ...], ranges: tuple[range, ...]) -> None:
    """From the third row on, nothing but what is wanted is foreseen, and nearly all of that is."""
    wanted = box(grid, *ranges)
    row = len(ranges[-1])
    plans = walk(Prefetcher(grid, start=4 * SIZE, limit=8 * SIZE), wanted)
    late = set(itertools.chain(*plans[2 * row + 3 :]))
    ends = set(box(grid, range(grid[0]), *ranges[1:]))
    assert late <= ends
    assert len(late & set(wanted)) >= len(wanted) - 2 * row - 24


def test_walks_side_by_side() -> None:
    """As tasks do that read different parts of an array at a time."""
    parts = [range(start, start + 100) for start in (0, 250, 500, 750)]
    mixed = [cell for group in zip(*parts, strict=True) for cell in group]
    plans = set(itertools.chain(*walk(Prefetcher((1000,), start=4 * SIZE, limit=16 * SIZE), mixed)))
    assert {cell for part in parts for cell in part[3:]} <= plans


def test_what_is_foreseen_in_vain_ends_it() -> None:
    prefetcher = Prefetcher((10**6,), start=1 << 16, limit=1 << 22)
    rng = np.random.default_rng(0)
    planned = 0
    size = 10_000
    for start in rng.integers(0, 10**6 - 10, 2000).tolist():
        planned += sum(map(len, walk(prefetcher, list(range(start, start + 4)), size)))
    assert planned * size < prefetch._WASTE + 100 * (1 << 16)


@settings(max_examples=60)
@given(data=st.data())
def test_never_outside_the_grid_never_twice(data: st.DataObject) -> None:
    grid = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    prefetcher = Prefetcher(grid, start=SIZE, limit=data.draw(st.integers(1, 50)) * SIZE)
    count = int(np.prod(grid))
    for _ in range(data.draw(st.integers(1, 4))):
        ranges = []
        for extent in grid:
            first = data.draw(st.integers(0, extent - 1))
            ranges.append(range(first, data.draw(st.integers(first + 1, extent))))
        plans = walk(prefetcher, box(grid, *ranges))
        cells = list(itertools.chain(*plans))
        assert all(0 <= cell < count for cell in cells)
        for plan in plans:
            assert len(set(plan)) == len(plan)
            assert len(plan) <= 51


def test_scalars() -> None:
    assert walk(Prefetcher((), start=1, limit=1), [0, 0, 0]) == [[], [], []]
