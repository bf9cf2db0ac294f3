"""Blocks cover the grid once; samples hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.manifest.references import References
from refmaker.verification.sampling import BLOCK_CHUNKS, BLOCK_SIZE, blocks_of, choose, stored_cells

grids = st.lists(st.integers(1, 7), max_size=3).map(tuple)


@settings(max_examples=60)
@given(grids, st.integers(1, BLOCK_SIZE))
def test_blocks_cover_the_grid_once_in_order(grid: tuple[int, ...], chunk_size: int) -> None:
    blocks = list(blocks_of(grid, chunk_size, None))
    singles = [single.first for block in blocks for single in block.singles()]
    assert sorted(singles) == sorted(np.ndindex(*grid))
    assert [block.first for block in blocks] == sorted(block.first for block in blocks)
    for block in blocks:
        assert block.chunks == len(list(block.singles()))
        assert block.chunks <= BLOCK_CHUNKS
        assert block.chunks == 1 or block.chunks * chunk_size <= BLOCK_SIZE


def test_blocks_are_as_large_as_they_may() -> None:
    assert len(list(blocks_of((1000, 2), 8, None))) == 1
    assert len(list(blocks_of((BLOCK_CHUNKS, 2), 8, None))) == 2
    assert [b.chunks for b in blocks_of((3, 4), BLOCK_SIZE // 4, None)] == [4, 4, 4]
    assert [b.chunks for b in blocks_of((3, 4), BLOCK_SIZE // 3, None)] == [3, 1] * 3
    assert [b.chunks for b in blocks_of((2, 2), BLOCK_SIZE * 2, None)] == [1] * 4


def test_empty_grids_have_no_blocks() -> None:
    assert list(blocks_of((0, 3), 8, None)) == []
    assert len(list(blocks_of((), 8, None))) == 1


@pytest.mark.parametrize(("grid", "cells"), [((3, 4), [0, 5, 11]), ((), [0])])
def test_blocks_of_a_sample(grid: tuple[int, ...], cells: list[int]) -> None:
    blocks = list(blocks_of(grid, 8, np.array(cells)))
    assert [b.chunks for b in blocks] == [1] * len(cells)
    assert [int(np.ravel_multi_index(b.first, grid)) if grid else 0 for b in blocks] == cells


def test_selection_ends_with_the_array() -> None:
    (block,) = blocks_of((2, 2), 8, None)
    assert block.selection((5, 7), (3, 4)) == (slice(0, 5), slice(0, 7))
    (last,) = blocks_of((2, 2), 8, np.array([3]))
    assert last.selection((5, 7), (3, 4)) == (slice(3, 5), slice(4, 7))


@settings(max_examples=100)
@given(st.data())
def test_samples(data: st.DataObject) -> None:
    cells = data.draw(st.integers(1, 300))
    stored = np.array(sorted(data.draw(st.sets(st.integers(0, cells - 1)))), "i8")
    sample = data.draw(st.integers(1, 80))
    chosen = choose("a/b", cells, stored, sample)
    if chosen is None:
        assert cells <= sample
        return
    found = chosen.tolist()
    assert found == sorted(set(found))
    assert min(len(found), sample) >= min(sample, len(stored))
    assert len(found) <= sample + 5
    assert {0, cells - 1, *stored[:1].tolist(), *stored[-1:].tolist()} <= set(found)
    assert all(0 <= cell < cells for cell in found)
    if len(stored) < cells:
        assert set(found) - set(stored.tolist())
    again = choose("a/b", cells, stored, sample)
    assert again is not None
    assert again.tolist() == found


def test_all_is_no_sample() -> None:
    assert choose("a", 10**6, np.arange(10**6), None) is None


def test_samples_of_large_grids_are_cheap() -> None:
    chosen = choose("a", 2**62, np.arange(10**6) * 7, 64)
    assert chosen is not None
    assert 60 <= len(chosen) <= 70


def test_samples_differ_from_array_to_array() -> None:
    one, other = (choose(path, 10**6, np.arange(10**6), 10) for path in ("a", "b"))
    assert one is not None
    assert other is not None
    assert one.tolist() != other.tolist()


def test_stored_cells() -> None:
    columns = [np.array(column) for column in ([2, 5], [0, 0])]
    sizes = np.array([1, 1], "u8")
    references = References(columns[0], columns[1], sizes, sizes, {7: b"", 3: b""}, {0: 0})
    assert stored_cells(references).tolist() == [0, 2, 3, 5, 7]
    assert math.prod(stored_cells(References.empty()).shape) == 0


def test_a_file_that_misses_more_chunks_than_can_be_read() -> None:
    stored = np.array([5, 1 << 40], "i8")
    cells = choose("a", 1 << 60, stored, None)
    assert cells is not None
    assert set(stored.tolist()) <= set(cells.tolist())
    assert 30 <= len(cells) <= 100
    assert cells[0] == 0
    assert cells[-1] == (1 << 60) - 1
    assert choose("a", 1 << 20, stored[:1], None) is None
