"""Chunk grids of virtual datasets: choosing one, and laying regions of sources on it.

Contract: pure, numpy over whole axes. A chunk of the virtual dataset can be referred to where it is all of one chunk of
a source at the same place in the chunk, or a run of bytes of an unfiltered one; all others that a region touches are
counted, and listed when asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.linked.regions import Region, Segments
from refmaker.linked.sources import SourceChunks, pipeline_key
from refmaker.model import Filter

__all__ = ["MAX_CELLS", "GridMapping", "choose_grid", "largest_divisor", "map_to_grid"]

Ints = npt.NDArray[np.int64]

MAX_CELLS = limits.VIRTUAL_CELLS


@dataclass(slots=True)
class GridMapping:
    """A region on a chunk grid.

    Attributes
    ----------
    cell, source_cell, inner
        Chunks of the virtual dataset, the chunks of the source that hold them, and where in these, in bytes.
    touched
        For each virtual axis, the positions of all chunks that the region has elements of.
    """

    cell: Ints
    source_cell: Ints
    inner: Ints
    touched: tuple[Ints, ...]

    @property
    def others(self) -> int:
        """How many chunks are touched but cannot be referred to."""
        return math.prod(len(t) for t in self.touched) - len(self.cell)


def map_to_grid(region: Region, source: SourceChunks, shape: tuple[int, ...], chunks: tuple[int, ...]) -> GridMapping:
    """Lay a region on the grid of `chunks` over a virtual dataset of `shape`."""
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    block = [1] * len(source.shape)
    for v, s in region.pairs:
        block[s] = chunks[v]
    fits = _is_run(block, source) and all(chunks[axis] == 1 for axis in region.virtual_single)
    along = [
        _along(segments, chunks[v], shape[v], source.chunks[s], exact=bool(source.filters))
        for (v, s), segments in zip(region.pairs, region.segments, strict=True)
    ]
    touched: list[Ints] = [np.array([region.virtual_single.get(v, 0) // chunks[v]], "i8") for v in range(len(shape))]
    for (v, _), axis in zip(region.pairs, along, strict=True):
        touched[v] = axis.touched
    if not fits or math.prod(len(axis.cell) for axis in along) == 0:
        nothing = np.empty(0, "i8")
        return GridMapping(nothing, nothing, nothing, tuple(touched))
    if math.prod(len(axis.cell) for axis in along) > MAX_CELLS:
        raise Unsupported(f"a virtual dataset of more than {MAX_CELLS} chunks")
    cell, source_cell, inner = _constants(region, source, grid, chunks)
    strides, source_strides, within = _strides(grid), _strides(source.grid), _strides(source.chunks)
    for (v, s), axis in zip(region.pairs, along, strict=True):
        # An outer sum for each axis gives the linear cells of the whole box, in row-major order.
        cell = (cell[:, None] + axis.cell * strides[v]).ravel()
        source_cell = (source_cell[:, None] + axis.source_cell * source_strides[s]).ravel()
        inner = (inner[:, None] + axis.inner * within[s]).ravel()
    return GridMapping(cell, source_cell, inner * source.item, tuple(touched))


@dataclass(frozen=True, slots=True)
class _Along:
    """Chunks along one axis: of the virtual dataset, of the source, index in the latter; all that are touched."""

    cell: Ints
    source_cell: Ints
    inner: Ints
    touched: Ints


def _along(segments: Segments, chunk: int, extent: int, source_chunk: int, *, exact: bool) -> _Along:
    if len(segments) == 1:
        # Most mappings are boxes, and many of them alike along most axes.
        return _along_one(*segments[0].tolist(), chunk, extent, source_chunk, exact)
    return _along_all(segments, chunk, extent, source_chunk, exact)


@lru_cache(4096)
def _along_one(
    start: int, source_start: int, length: int, chunk: int, extent: int, source_chunk: int, exact: bool
) -> _Along:
    segments = np.array([[start, source_start, length]], "i8")
    return _along_all(segments, chunk, extent, source_chunk, exact)


def _along_all(segments: Segments, chunk: int, extent: int, source_chunk: int, exact: bool) -> _Along:
    start, source_start, length = segments.T
    stop = start + length
    # Chunks that a segment covers whole; the last one of the axis may reach beyond the extent.
    last = np.where(stop == extent, -(-stop // chunk), stop // chunk)
    owner, cell = _ranges(-(-start // chunk), last)
    at = source_start[owner] + cell * chunk - start[owner]
    source_cell = at // source_chunk
    inner = at - source_cell * source_chunk
    # A filtered chunk can only be taken as it is; of an unfiltered one, any part that does not cross into the next.
    whole = (inner == 0) & (chunk == source_chunk) if exact else inner + chunk <= source_chunk
    _, touched = _ranges(start // chunk, (stop - 1) // chunk + 1)
    # Segments that meet within a chunk touch it twice, one after the other.
    if len(touched) > 1:
        touched = touched[np.append(True, touched[1:] != touched[:-1])]
    return _Along(cell[whole], source_cell[whole], inner[whole], touched)


def _ranges(first: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Return all integers of several ranges, and which range each is from."""
    n = np.maximum(stop - first, 0)
    if int(n.sum()) > MAX_CELLS:
        raise Unsupported(f"a virtual dataset of more than {MAX_CELLS} chunks along an axis")
    # Many aranges in a row without a loop: a running number, minus where each of the ranges begins in it.
    owner = np.repeat(np.arange(len(n)), n)
    return owner, first[owner] + np.arange(len(owner)) - (np.cumsum(n) - n)[owner]


def _is_run(block: Sequence[int], source: SourceChunks) -> bool:
    """Return whether blocks are chunks of the source, or runs of bytes in unfiltered ones."""
    if source.filters:
        return tuple(block) == source.chunks
    # Row-major, a block is contiguous if it is: single indices, then any length along one axis, then whole axes.
    axis = next((axis for axis, n in enumerate(block) if n != 1), len(block))
    return tuple(block[axis + 1 :]) == source.chunks[axis + 1 :]


def _constants(
    region: Region, source: SourceChunks, grid: Sequence[int], chunks: Sequence[int]
) -> tuple[Ints, Ints, Ints]:
    """Return what the axes without a partner add to cell, source cell and inner position."""
    strides, source_strides, within = _strides(grid), _strides(source.grid), _strides(source.chunks)
    cell = sum(index // chunks[axis] * strides[axis] for axis, index in region.virtual_single.items())
    source_cell = sum(i // source.chunks[axis] * source_strides[axis] for axis, i in region.source_single.items())
    inner = sum(i % source.chunks[axis] * within[axis] for axis, i in region.source_single.items())
    return np.array([cell], "i8"), np.array([source_cell], "i8"), np.array([inner], "i8")


def _strides(extents: Sequence[int]) -> list[int]:
    return [math.prod(extents[axis + 1 :]) for axis in range(len(extents))]


def choose_grid(
    parts: Sequence[tuple[Region, SourceChunks]], shape: tuple[int, ...], item: int, largest: int
) -> tuple[tuple[int, ...], tuple[Filter, ...]] | None:
    """Choose the chunk shape and the pipeline with which most of the sources' chunks can be referred to.

    Chunks of filtered sources have to be taken as they are: the shape that most of them have wins. Without any, a
    shape is sought whose chunks are runs of bytes of all sources, up to `largest` bytes.
    """
    votes: dict[tuple[object, tuple[int, ...]], int] = {}
    samples: dict[object, tuple[Filter, ...]] = {}
    for region, source in parts:
        chunks = _own_grid(region, source, len(shape))
        if source.filters and chunks is not None:
            ballot = pipeline_key(source.filters), chunks
            votes[ballot] = votes.get(ballot, 0) + region.size
            samples.setdefault(ballot, source.filters)
    if votes:
        elected = max(votes, key=lambda ballot: votes[ballot])
        return elected[1], samples[elected]
    plain = [part for part in parts if not part[1].filters]
    return (_common_grid(plain, shape, item, largest), ()) if plain else None


def _own_grid(region: Region, source: SourceChunks, rank: int) -> tuple[int, ...] | None:
    """Return the source's chunk shape on the axes of the virtual dataset."""
    chunks = [1] * rank
    for v, s in region.pairs:
        chunks[v] = source.chunks[s]
    return tuple(chunks) if all(source.chunks[axis] == 1 for axis in region.source_single) else None


def _common_grid(
    parts: Sequence[tuple[Region, SourceChunks]], shape: tuple[int, ...], item: int, largest: int
) -> tuple[int, ...]:
    """Cover whole axes from the last one on; the first that cannot be covered gets the longest common step."""
    chunks, size = [1] * len(shape), item
    for axis in range(len(shape) - 1, -1, -1):
        if not all(_adjoins(region, source, axis) for region, source in parts):
            break
        whole = all(_covers(region, source, axis, shape[axis]) for region, source in parts)
        if whole and size * shape[axis] <= largest:
            chunks[axis] = shape[axis]
            size *= shape[axis]
            continue
        step = math.gcd(*(n for region, source in parts for n in _cuts(region, source, axis)))
        chunks[axis] = largest_divisor(step, max(largest // size, 1))
        break
    return tuple(chunks)


def _adjoins(region: Region, source: SourceChunks, axis: int) -> bool:
    """Return whether nothing stands between an axis and those behind it in the source's chunks."""
    partner = next((s for v, s in region.pairs if v == axis), len(source.shape))
    return all(source.chunks[s] == 1 for s in region.source_single if s > partner)


def _covers(region: Region, source: SourceChunks, axis: int, extent: int) -> bool:
    """Return whether a region has the whole of an axis, whole along the source's chunks too."""
    for (v, s), segments in zip(region.pairs, region.segments, strict=True):
        if v == axis:
            whole = len(segments) == 1 and segments[0, 2] == extent and source.chunks[s] == extent
            return bool(whole and segments[0, 1] % extent == 0)
    return extent == 1


def _cuts(region: Region, source: SourceChunks, axis: int) -> Iterator[int]:
    """Yield all positions along an axis where a chunk of the virtual dataset has to end, up to common divisors."""
    for (v, s), segments in zip(region.pairs, region.segments, strict=True):
        if v != axis:
            continue
        start, source_start, length = segments.T
        chunk = source.chunks[s]
        yield int(np.gcd.reduce(start))
        yield int(np.gcd.reduce(start + length))
        crossing = source_start // chunk != (source_start + length - 1) // chunk
        if crossing.any():
            yield chunk
            yield int(np.gcd.reduce((start - source_start)[crossing] % chunk))
        return
    yield 1


def largest_divisor(n: int, limit: int) -> int:
    """Return the largest divisor of `n` up to `limit`, looked for among those that have a factor below 2**16."""
    if n <= limit:
        return max(n, 1)
    # Bounded, as an extent may be anything up to 2**63; a divisor that is missed costs smaller chunks, no more.
    factors = np.arange(1, min(math.isqrt(n), 1 << 16) + 1)
    small = factors[n % factors == 0].tolist()
    return max((d for f in small for d in (f, n // f) if d <= limit), default=1)
