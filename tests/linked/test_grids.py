"""Regions and grids against the elements one by one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.hdf5.selection import Runs, axes_of, count
from refmaker.linked.grids import choose_grid, largest_divisor, map_to_grid
from refmaker.linked.regions import region_of
from refmaker.linked.sources import SourceChunks
from refmaker.model import ChunkIndex, Filter, FixedPoint, Selection, Slab

DEFLATE = Filter(1, "deflate", False, (4,))
INT = FixedPoint(4, "<", True, 0, 32)


def _source(shape: tuple[int, ...], chunks: tuple[int, ...], filtered: bool) -> SourceChunks:
    return SourceChunks(shape, 4, chunks, ChunkIndex.empty(), (DEFLATE,) if filtered else (), INT, bytes(4))


@st.composite
def _axis(draw: Any, n: int, least: int = 0) -> tuple[int, Runs]:
    """Draw an extent, and runs of `n` indices below it."""
    gaps = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)) if draw(st.booleans()) else [0] * n
    start = draw(st.integers(0, 3))
    indices = start + np.cumsum([0, *(g + 1 for g in gaps[1:])]) if n else np.empty(0, "i8")
    cuts = np.flatnonzero(np.diff(indices) != 1)
    runs = np.stack([indices[np.append(0, cuts + 1)], indices[np.append(cuts, n - 1)] + 1], axis=1)
    return max(int(runs[-1, 1]) + draw(st.integers(0, 3)), least), runs


def _indices(runs: Runs) -> list[int]:
    return [i for start, stop in runs.tolist() for i in range(start, stop)]


@st.composite
def _mapping(draw: Any) -> Any:
    """Draw runs of a virtual and a source dataset that correspond, axes of one element thrown in on both sides."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=2))
    sides = []
    for _ in ("virtual", "source"):
        own = list(lengths)
        for at in draw(st.lists(st.integers(0, 2), max_size=1)):
            own.insert(min(at, len(own)), 1)
        sides.append([draw(_axis(n)) for n in own])
    return sides


@settings(max_examples=150)
@given(mapping=_mapping(), data=st.data(), filtered=st.booleans())
def test_chunks_hold_what_is_mapped_to_them(mapping: Any, data: Any, filtered: bool) -> None:
    (shape, virtual), (own_shape, own) = (tuple(zip(*side, strict=True)) for side in mapping)
    chunks = tuple(data.draw(st.integers(1, n)) for n in own_shape)
    source = _source(own_shape, chunks, filtered)
    region = region_of(virtual, own)
    assert region is not None
    assert region.size == count(virtual) == count(own)
    pairs = dict(zip(itertools.product(*map(_indices, virtual)), itertools.product(*map(_indices, own)), strict=True))
    found = choose_grid([(region, source)], shape, 4, 1 << 20)
    grids = [tuple(data.draw(st.integers(1, n)) for n in shape), *([found[0]] if found else [])]
    for grid_chunks in grids:
        laid = map_to_grid(region, source, shape, grid_chunks)
        _check(laid, pairs, shape, grid_chunks, source)


def _check(laid: Any, pairs: Any, shape: tuple[int, ...], chunks: tuple[int, ...], source: SourceChunks) -> None:
    grid = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    touched = {tuple(i // c for i, c in zip(at, chunks, strict=True)) for at in pairs}
    assert set(itertools.product(*(t.tolist() for t in laid.touched))) == touched
    assert laid.others == len(touched) - len(laid.cell)
    for cell, source_cell, inner in zip(*(a.tolist() for a in (laid.cell, laid.source_cell, laid.inner)), strict=True):
        start = [int(i) * c for i, c in zip(np.unravel_index(cell, grid), chunks, strict=True)]
        origin = [int(i) * c for i, c in zip(np.unravel_index(source_cell, source.grid), source.chunks, strict=True)]
        assert inner + 4 * math.prod(chunks) <= source.chunk_size
        assert inner == 0 or not source.filters
        for number, offsets in enumerate(itertools.product(*map(range, chunks))):
            at = tuple(s + o for s, o in zip(start, offsets, strict=True))
            if any(i >= n for i, n in zip(at, shape, strict=True)):
                continue
            within = np.unravel_index(inner // 4 + number, source.chunks)
            assert pairs[at] == tuple(o + int(w) for o, w in zip(origin, within, strict=True))


def test_shapes_that_differ_have_no_region() -> None:
    whole = axes_of(Selection("all"), (4, 6))
    assert whole is not None
    for other in ((6, 4), (24,), (2, 2, 6)):
        axes = axes_of(Selection("all"), other)
        assert axes is not None
        assert region_of(whole, axes) is None


def test_most_of_the_data_decide() -> None:
    """Of filtered sources, the chunk shape of the larger part wins, whatever their number."""
    shape = (100, 10)
    rows = [(0, 80, (20, 10)), (80, 10, (5, 10)), (90, 10, (5, 10))]
    parts = []
    for start, n, chunks in rows:
        virtual = axes_of(Selection("slabs", (Slab(start, 1, 1, n), Slab(0, 1, 1, 10))), shape)
        own = axes_of(Selection("all"), (n, 10))
        assert virtual is not None
        assert own is not None
        region = region_of(virtual, own)
        assert region is not None
        parts.append((region, _source((n, 10), chunks, filtered=True)))
    assert choose_grid(parts, shape, 4, 1 << 20) == ((20, 10), (DEFLATE,))


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_largest_divisor(n: int, limit: int) -> None:
    assert largest_divisor(n, limit) == max(d for d in range(1, min(n, limit) + 1) if n % d == 0)
