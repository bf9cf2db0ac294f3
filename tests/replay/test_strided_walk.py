"""Walks that do not go in C order: found, followed, and within bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refmaker.replay.prefetch import Prefetcher
from refmaker.replay.strided_walk import StridedWalk

SIZE = 280_000


def read(grid: tuple[int, ...], cells: list[int]) -> tuple[int, int]:
    """Ask for cells one after the other; return how many had been planned before, and how many were in vain."""
    prefetcher = Prefetcher(grid, start=1 << 18, limit=1 << 25)
    planned: set[int] = set()
    hits = 0
    for cell in cells:
        hits += cell in planned
        walk = prefetcher.note(cell, SIZE)
        found = None if walk is None else prefetcher.plan(walk)
        if walk is not None and found is not None:
            assert all(0 <= each < np.prod(grid) for each in found.tolist())
            assert not planned & set(found.tolist())
            walk.ahead += len(found) * SIZE
            planned |= set(found.tolist())
        prefetcher.used += SIZE * (cell in planned)
    return hits, len(planned - set(cells))


def by_text(count: int) -> list[int]:
    """The order in which dask computes chunks: downwards by the key as text."""
    return sorted(range(count), key=str, reverse=True)


def grouped(count: int) -> list[int]:
    """Downwards in groups of a tree of reductions."""
    return [
        cell
        for first in range(count - 8, -1, -8)
        for half in (4, 0)
        for cell in range(first + half + 3, first + half - 1, -1)
    ]


@pytest.mark.parametrize(
    ("grid", "cells", "least"),
    [
        ((150,), list(range(149, -1, -1)), 0.95),
        ((150,), by_text(150), 0.85),
        ((128,), grouped(128), 0.9),
        ((15, 10), [10 * row + column for column in range(9, -1, -1) for row in range(14, -1, -1)], 0.6),
        ((300,), list(range(0, 300, 2)), 0.9),
        ((300,), list(range(299, 0, -3)), 0.9),
        ((360,), list(range(5, 360, 12)), 0.6),
        ((1000, 1), list(range(1000)), 0.95),
    ],
    ids=["down", "text", "groups", "columns", "second", "third", "month", "series"],
)
def test_walks_are_found(grid: tuple[int, ...], cells: list[int], least: float) -> None:
    hits, vain = read(grid, cells)
    assert hits >= least * len(cells)
    assert vain <= 0.05 * len(cells) + 8


def test_two_threads_swap_neighbours() -> None:
    cells = list(itertools.chain.from_iterable((cell - 1, cell) for cell in range(199, 0, -2)))
    hits, vain = read((200,), cells)
    assert hits >= 0.85 * len(cells)
    assert vain <= 8


@pytest.mark.parametrize("seed", range(5))
def test_random_order_reads_next_to_nothing_in_vain(seed: int) -> None:
    cells = np.random.default_rng(seed).permutation(5000)[:400].tolist()
    _, vain = read((50, 100), cells)
    assert vain <= 0.05 * len(cells)


def test_a_short_walk_wastes_no_more_than_a_window() -> None:
    hits, vain = read((1000,), list(range(999, 989, -1)))
    assert hits >= 5
    assert vain <= 10


def test_what_is_given_back_is_planned_again() -> None:
    walk = StridedWalk((100,))
    for cell in (99, 98, 97, 96):
        assert walk.note(cell, SIZE) == (cell <= 97)
    first = walk.next_cells(1, 1 << 25)
    assert first is not None
    walk.give_back(first[1:])
    again = walk.next_cells(1, 1 << 25)
    assert again is not None
    assert again[0] == first[1]


def test_what_never_comes_is_forgotten_as_waste() -> None:
    walk = StridedWalk((10**6,))
    for cell in (999, 998, 997):
        walk.note(cell, SIZE)
    planned = walk.next_cells(1, 1 << 25)
    assert planned is not None
    for cell in np.random.default_rng(0).integers(2000, 10**6, 400).tolist():
        walk.note(cell, SIZE)
    assert walk.forget() == len(planned) * SIZE
    assert not walk.planned
