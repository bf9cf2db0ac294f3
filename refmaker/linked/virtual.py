"""A virtual dataset as chunks: references into its sources where grids agree, assembled values elsewhere.

Contract: `virtual_storage` gives storage whose every element is that of the last mapping with a source for it, else the
fill value; or it raises `Unsupported` with the reason. libhdf5 leaves mappings that overlap undefined, and reads them
one after the other.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported
from refmaker.linked.address_space import AddressSpace
from refmaker.linked.files import Run
from refmaker.linked.grids import GridMapping, choose_grid, map_to_grid
from refmaker.linked.regions import Region
from refmaker.linked.sources import SourceChunks, encoded, pipeline_key
from refmaker.linked.values import Box, Conversion, Reader, converted, paint, paint_positions
from refmaker.mapping.layout import split_rows
from refmaker.model import Chunked, ChunkIndex, Contiguous, Filter

__all__ = ["Part", "ResolvedStorage", "ResolveContext", "virtual_storage"]

Ints = npt.NDArray[np.int64]

# A reference takes about as much space in a manifest as this many bytes of values.
REFERENCE_SIZE = 64
INLINE_CHUNK = 1 << 20
# Whole filtered chunks have to be decoded for a few elements of each.
DECODINGS = 8
# A filter mask that skips every filter: the chunk is stored as it is.
_ALL_SKIPPED = 0xFFFFFFFF
_DEFLATE = Filter(1, "deflate", False, (1,))
# States of a chunk: it has bytes to refer to; its source lacks it; its values have to be assembled from several.
_TAKEN, _HOLE, _MADE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Part:
    """What one mapping brings: elements of a source, as a region or, where there is none, position by position."""

    source: SourceChunks
    region: Region | None
    virtual_positions: Ints | None = None
    own_positions: Ints | None = None
    convert: Conversion = None


@dataclass(frozen=True, slots=True)
class ResolvedStorage:
    """Where a dataset's values are: storage, its pipeline, the element that absent chunks hold."""

    storage: Chunked | Contiguous
    filters: tuple[Filter, ...]
    fill: bytes


@dataclass(frozen=True, slots=True)
class ResolveContext:
    """What assembling values needs.

    Parameters
    ----------
    inline_limit
        Bytes of one array that may be assembled.
    subchunk_size
        The largest chunk of unfiltered sources.
    """

    space: AddressSpace
    run: Run
    inline_limit: int
    subchunk_size: int


@dataclass(slots=True)
class _Table:
    """Chunks of the virtual dataset; of several rows for one, the last counts."""

    cell: list[Ints] = field(default_factory=list)
    state: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    offset: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    size: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    mask: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    part: list[Ints] = field(default_factory=list)

    def add(self, cell: Ints, state: int, part: int, **columns: npt.NDArray[np.unsignedinteger]) -> None:
        n = len(cell)
        self.cell.append(cell)
        self.state.append(np.full(n, state, "u1"))
        self.part.append(np.full(n, part, "i8"))
        self.offset.append(np.asarray(columns.get("offset", np.zeros(n)), "u8"))
        self.size.append(np.asarray(columns.get("size", np.zeros(n)), "u8"))
        self.mask.append(np.asarray(columns.get("mask", np.zeros(n)), "u4"))

    def keep(self, rows: Ints, data: bytes, filters: tuple[Filter, ...], space: AddressSpace) -> None:
        """Keep the values of a chunk in the space, for one row or several."""
        stored = encoded(data, filters)
        self.offset[0][rows] = space.keep(data if stored is None else stored)
        self.size[0][rows] = len(data if stored is None else stored)
        self.mask[0][rows] = _ALL_SKIPPED if stored is None else 0
        self.state[0][rows] = _TAKEN

    def finish(self) -> None:
        """Bring the rows together, the last one for each chunk."""
        if not self.cell:
            self.add(np.empty(0, "i8"), _HOLE, 0)
        cell = np.concatenate(self.cell)
        # Stable, so that the last of several rows for a chunk is that of the last mapping.
        order = np.argsort(cell, kind="stable")
        last = np.append(cell[order][1:] != cell[order][:-1], True)[: len(cell)]
        kept = order[last]
        self.cell = [cell[kept]]
        for name in ("state", "offset", "size", "mask", "part"):
            setattr(self, name, [np.concatenate(getattr(self, name))[kept]])


def virtual_storage(
    shape: tuple[int, ...], fill: bytes, parts: Sequence[Part], context: ResolveContext, *, growing: bool = False
) -> ResolvedStorage:
    """Find storage for a virtual dataset.

    Parameters
    ----------
    fill
        The element where nothing is mapped.
    growing
        More than `shape` may be shown of the dataset, so that the fill value has to stay what it is.
    parts
        What the mappings bring, in their order.

    Raises
    ------
    Unsupported
        Its chunks are not those of its sources, and it is larger than what may be assembled.
    """
    item = len(fill)
    total = item * math.prod(shape)
    if total == 0 or not parts:
        return ResolvedStorage(Contiguous(None, total), (), fill)
    alike = [(p.region, p.source) for p in parts if p.region is not None and p.convert is None]
    grid = choose_grid(alike, shape, item, context.subchunk_size)
    why = "its selections or datatypes fit no chunks of its sources"
    if grid is not None and all(p.region is not None for p in parts):
        chunks, filters = grid
        chunk_size = item * math.prod(chunks)
        if filters or chunk_size >= REFERENCE_SIZE or total > context.inline_limit:
            placed, left = _on_grid(shape, fill, parts, chunks, filters, context, growing=growing)
            if placed is not None:
                return placed
            why = f"{left} chunks of shape {chunks} are not, as they are, chunks of its sources"
    if total > context.inline_limit:
        raise Unsupported(
            f"virtual dataset of {total} bytes, more than the inline limit of {context.inline_limit} bytes: {why}"
        )
    return _assembled(shape, fill, parts, context)


def _on_grid(
    shape: tuple[int, ...],
    fill: bytes,
    parts: Sequence[Part],
    chunks: tuple[int, ...],
    filters: tuple[Filter, ...],
    context: ResolveContext,
    *,
    growing: bool,
) -> tuple[ResolvedStorage | None, int]:
    """Lay all parts on a grid.

    Return None, and the number of chunks in the way, when too many would have to be assembled.
    """
    grid = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    chunk_size, key = len(fill) * math.prod(chunks), pipeline_key(filters)
    table, laid_parts, left = _Table(), [], 0
    for number, part in enumerate(parts):
        if part.region is None:
            return None, math.prod(grid)
        laid = map_to_grid(part.region, part.source, shape, chunks)
        if part.convert is not None or pipeline_key(part.source.filters) != key:
            laid.cell = laid.source_cell = laid.inner = np.empty(0, "i8")
        left += laid.others
        if left * chunk_size > context.inline_limit:
            return None, left
        _add_rows(table, number, part.source, laid, chunk_size)
        _add_others(table, number, laid, grid)
        laid_parts.append(laid)
    table.finish()
    if not (table.state[0] == _TAKEN).any() and math.prod(shape) * len(fill) <= context.inline_limit:
        return None, left
    # With a chunk for each of its own, nothing shows the fill value of the virtual dataset.
    free = len(table.cell[0]) == math.prod(grid) and not growing
    own_fill = _fill_holes(table, parts, fill, chunk_size, filters, context, free=free)
    made = np.flatnonzero(table.state[0] == _MADE)
    for row, box in zip(
        made.tolist(), _boxes(table.cell[0][made], grid, chunks, fill, parts, laid_parts, context), strict=True
    ):
        table.keep(np.array([row]), box, filters, context.space)
    there = table.state[0] != _HOLE
    index = ChunkIndex(*(column[0][there] for column in (table.cell, table.offset, table.size, table.mask)))
    return ResolvedStorage(Chunked(chunks, index), filters, own_fill), left


def _add_rows(table: _Table, number: int, source: SourceChunks, laid: GridMapping, chunk_size: int) -> None:
    """Add the chunks that can be referred to, and those that the source lacks."""
    index = source.index
    row = np.searchsorted(index.cell, laid.source_cell)
    there = row < len(index)
    there[there] = index.cell[row[there]] == laid.source_cell[there]
    row = row[there]
    size = index.size[row]
    if not source.filters:
        if (size != source.chunk_size).any():
            raise Unsupported(f"a source has an unfiltered chunk of other than {source.chunk_size} bytes")
        size = np.full(len(row), chunk_size, "u8")
    offset = index.offset[row] + laid.inner[there].astype("u8")
    table.add(laid.cell[there], _TAKEN, number, offset=offset, size=size, mask=index.filter_mask[row])
    table.add(laid.cell[~there], _HOLE, number)


def _add_others(table: _Table, number: int, laid: GridMapping, grid: tuple[int, ...]) -> None:
    """Add the chunks that have to be assembled."""
    if laid.others == 0:
        return
    cell = np.zeros(1, "i8")
    for touched, n in zip(laid.touched, grid, strict=True):
        cell = (cell[:, None] * n + touched).ravel()
    table.add(np.setdiff1d(cell, laid.cell, assume_unique=True), _MADE, number)


def _fill_holes(
    table: _Table,
    parts: Sequence[Part],
    fill: bytes,
    chunk_size: int,
    filters: tuple[Filter, ...],
    context: ResolveContext,
    *,
    free: bool,
) -> bytes:
    """Handle the chunks that sources lack, and return the element that absent chunks hold.

    They hold the source's fill value. Where it is not that of the virtual dataset, they are written out, unless all
    absent chunks are alike and the fill value is `free`.
    """
    holes = np.flatnonzero(table.state[0] == _HOLE)
    owner = table.part[0][holes]
    fills = {n: _fill_of(parts[n]) for n in np.unique(owner).tolist()}
    if len(set(fills.values())) == 1 and free:
        return next(iter(fills.values()))
    for element in sorted(set(fills.values()) - {fill}):
        rows = holes[np.isin(owner, [n for n, found in fills.items() if found == element])]
        if len(rows) * chunk_size > context.inline_limit:
            raise Unsupported(
                f"{len(rows)} chunks that the sources lack have another fill value than the virtual dataset: "
                f"more than the inline limit of {context.inline_limit} bytes"
            )
        table.keep(rows, element * (chunk_size // len(element)), filters, context.space)
    return fill


def _fill_of(part: Part) -> bytes:
    return converted(np.frombuffer(part.source.fill, "u1")[None], part.convert).tobytes()


def _boxes(
    made: Ints,
    grid: tuple[int, ...],
    chunks: tuple[int, ...],
    fill: bytes,
    parts: Sequence[Part],
    laid_parts: Sequence[GridMapping],
    context: ResolveContext,
) -> list[bytes]:
    """Put chunks together."""
    if len(made) == 0:
        return []
    at = np.stack(np.unravel_index(made, grid), axis=1) if grid else np.zeros((1, 0), "i8")
    boxes = [Box(tuple((row * chunks).tolist()), _filled(chunks, fill)) for row in at]
    reader = Reader(context.space, DECODINGS * context.inline_limit)
    for _ in ("plan", "paint"):
        for part, laid in zip(parts, laid_parts, strict=True):
            touched = np.ones(len(made), bool)
            for axis, positions in enumerate(laid.touched):
                touched &= np.isin(at[:, axis], positions)
            for n in np.flatnonzero(touched).tolist():
                _paint(boxes[n], part, reader)
        if reader.planning:
            reader.load(context.run)
    return [box.values.tobytes() for box in boxes]


def _paint(box: Box, part: Part, reader: Reader) -> None:
    if part.region is not None:
        paint(box, part.region, part.source, part.convert, reader)
    elif part.virtual_positions is not None and part.own_positions is not None:
        paint_positions(box, part.virtual_positions, part.own_positions, part.source, part.convert, reader)


def _filled(shape: tuple[int, ...], fill: bytes) -> npt.NDArray[np.uint8]:
    return np.broadcast_to(np.frombuffer(fill, "u1"), (*shape, len(fill))).copy()


def _assembled(shape: tuple[int, ...], fill: bytes, parts: Sequence[Part], context: ResolveContext) -> ResolvedStorage:
    """Assemble the whole dataset; chunks of it are kept compressed, those of nothing but the fill value are not."""
    box = Box((0,) * len(shape), _filled(shape, fill))
    reader = Reader(context.space, DECODINGS * context.inline_limit)
    for part in parts:
        _paint(box, part, reader)
    reader.load(context.run)
    for part in parts:
        _paint(box, part, reader)
    chunks = split_rows(shape, len(fill), INLINE_CHUNK)
    empty = fill * math.prod(chunks)
    cell, offset, size = [], [], []
    starts = product(*(range(0, n, c) for n, c in zip(shape, chunks, strict=True)))
    for number, start in enumerate(starts):
        data = box.values[tuple(slice(s, s + c) for s, c in zip(start, chunks, strict=True))].tobytes()
        if data != empty:
            packed = zlib.compress(data, 1)
            cell.append(number)
            offset.append(context.space.keep(packed))
            size.append(len(packed))
    index = ChunkIndex(np.array(cell, "i8"), np.array(offset, "u8"), np.array(size, "u8"), np.zeros(len(cell), "u4"))
    return ResolvedStorage(Chunked(chunks, index), (_DEFLATE,), fill)
